"""Load job results: brings what a job wrote into the project, styled and dated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
)

from ..layers import group, outcome
from .base import HELP_PAGES, StfAlgorithm
from .parameters import Values, finish

FOLDER, JOB, INPUTS = "FOLDER", "JOB", "INPUTS"


class LoadResults(StfAlgorithm):
    """Opens the images of a series, or the outputs of any job, as a group of layers."""

    def createInstance(self) -> LoadResults:
        """Another one."""
        return LoadResults()

    def name(self) -> str:
        """The permanent id."""
        return "load_results"

    def displayName(self) -> str:
        """The title in the toolbox."""
        return "Load job results"

    def group(self) -> str:
        """The group in the toolbox."""
        return "Time series"

    def tags(self) -> list[str]:
        """Words that find the algorithm in the toolbox."""
        return ["open", "import", "series", "manifest", "server", "temporal", "animation", "time", "dates", "group"]

    def shortDescription(self) -> str:
        """One sentence on what the algorithm does."""
        return "Brings the images of a series, or what any job wrote, into the project: one group, styled and dated."

    def shortHelpString(self) -> str:
        """What is loaded, and how."""
        return (
            "<p>Give it the folder of a series, whether it was made here or on a server, any folder of dated images, "
            "or the <b>job.json</b> of a run. The images become a group of layers named after it. They have one "
            "stretch in common, so that they can be compared, and each has its date: the temporal controller plays "
            "them. The project gets the range of the dates if it has none.</p><p>Of a series that is not finished, "
            "what is there is loaded, and the dates that are missing are named. Loaded again, the group gets what it "
            "lacks.</p>"
        )

    def helpUrl(self) -> str:
        """The page of the algorithm."""
        return f"{HELP_PAGES}/docs/series-in-qgis.md"

    def flags(self) -> QgsProcessingAlgorithm.Flag:
        """It can be cancelled, and makes no sense as a batch."""
        return QgsProcessingAlgorithm.Flag.FlagCanCancel

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the folder or file, and what came of it."""
        folder = QgsProcessingParameterFile(
            FOLDER, "Folder of a series", QgsProcessingParameterFile.Behavior.Folder, optional=True
        )
        self.addParameter(finish(folder, "Folder that 'Fuse a time series' wrote, or any of dated images.", False))
        job = QgsProcessingParameterFile(JOB, "Job file instead", extension="json", optional=True)
        self.addParameter(finish(job, "job.json of a run, whose outputs are loaded.", False))
        inputs = QgsProcessingParameterBoolean(INPUTS, "Load the fine and coarse images too", defaultValue=False)
        self.addParameter(finish(
            inputs, "The images that a series was made from, as groups within its group, for 'Pixel time series'.",
            advanced=False,
        ))
        self.addOutput(QgsProcessingOutputMultipleLayers("LAYERS", "Images"))
        self.addOutput(QgsProcessingOutputString("MISSING", "Dates or files that are missing"))
        self.addOutput(QgsProcessingOutputNumber("COUNT", "Number of images"))

    def checkParameterValues(self, parameters: Values, context: QgsProcessingContext) -> tuple[bool, str]:
        """Check that there is one thing to load."""
        problem = self._problem(parameters, context)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def _problem(self, parameters: Values, context: QgsProcessingContext) -> str:
        given = [self.parameterAsFile(parameters, name, context) for name in (FOLDER, JOB)]
        if all(given) or not any(given):
            return "Give either 'Folder of a series' or 'Job file instead', and not both."
        path = Path(next(filter(None, given)))
        return "" if path.exists() else f"'{path}' does not exist; choose the folder of a series, or a job file."

    def work(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Look at what is there and have it loaded; layers are made later, in the main thread."""
        problem = self._problem(parameters, context)
        if problem:
            raise QgsProcessingException(problem)
        path = next(filter(None, (self.parameterAsFile(parameters, name, context) for name in (FOLDER, JOB))))
        found = outcome.read(Path(path), self.parameterAsBoolean(parameters, INPUTS, context))
        if found.warning:
            feedback.pushWarning(found.warning)
        if found.undated:
            feedback.pushInfo(f"Without a date, and so without a place in time: {', '.join(found.undated)}.")
        images = [image.path for image in found.stack.all]
        feedback.pushInfo(f"'{found.stack.title}' has {len(images)} layers.")
        group.load_on_completion(context, outcome.with_stretch(found.stack))
        return {"LAYERS": images, "MISSING": ", ".join(found.missing), "COUNT": len(images)}
