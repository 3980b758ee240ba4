"""The algorithm of a declared method: its form, its checks, its job, and the finishing of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputHtml,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingUtils,
    QgsRasterLayer,
    QgsRasterRenderer,
)

from .. import settings
from ..engine import locator, runner
from ..layers import containers, group, outcome, result, sources
from . import job
from .base import HELP_PAGES, StfAlgorithm
from .declarations import Declaration
from .parameters import Given, Values, definition, finish, key
from .validation import problems

SEED = "SEED"
EXPORT_JOB = "EXPORT_JOB"
DATE = "DATE"
LOAD = "LOAD"
#: The images of a folder that was written, which a model hands on to what takes several layers.
LAYERS = "LAYERS"
#: What a run writes, and the ending of the file beside an exported job that replaces a temporary one.
_OUTPUTS = {"raster_out": ".tif", "vector_out": ".gpkg", "file_out": "", "folder_out": ""}
_RESULTS = {"html": QgsProcessingOutputHtml, "number": QgsProcessingOutputNumber, "text": QgsProcessingOutputString}


class MethodAlgorithm(StfAlgorithm):
    """Runs one declared method in the engine.

    Layers are touched in the main thread only, when a run is prepared and when its results are finished; between the
    two there are plain values.
    """

    def __init__(self, method: Declaration) -> None:
        super().__init__()
        self._method = method
        self._values: dict[str, Any] = {}
        self._days: dict[str, str] = {}
        self._look: QgsRasterRenderer | None = None

    def createInstance(self) -> MethodAlgorithm:
        """Another algorithm of the same method."""
        return MethodAlgorithm(self._method)

    def name(self) -> str:
        """The method's permanent id."""
        return str(self._method.id)

    def displayName(self) -> str:
        """The method's title."""
        return str(self._method.title)

    def group(self) -> str:
        """The method's group."""
        return str(self._method.group)

    def tags(self) -> list[str]:
        """Words that find the method in the toolbox."""
        return list(self._method.tags)

    def shortDescription(self) -> str:
        """One sentence on what the method does."""
        return str(self._method.summary)

    def shortHelpString(self) -> str:
        """What the method does and assumes, and its paper."""
        paper = f"<p>{self._method.paper}</p>" if self._method.paper else ""
        doi = self._method.doi
        link = f'<p><a href="https://doi.org/{doi}">doi:{doi}</a></p>' if doi else ""
        return f"<p>{self._method.description}</p>{paper}{link}"

    def helpUrl(self) -> str:
        """The method's page of the documentation."""
        return f"{HELP_PAGES}/docs/methods/{self._method.id}.md"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters: the method's own, the seed and the export of the job."""
        for declared in self._method.parameters:
            self.addParameter(definition(declared))
        if self._target():
            self.addOutput(QgsProcessingOutputString(DATE, "Date of the result"))
        for found in self._method.results:
            self.addOutput(_RESULTS[found.kind](key(found.id), found.title))
        if self._images():
            self.addOutput(QgsProcessingOutputMultipleLayers(LAYERS, "Images"))
            load = QgsProcessingParameterBoolean(LOAD, "Open the images in the project", defaultValue=True)
            self.addParameter(finish(
                load,
                "The images become a group of layers with one look, each with its date for the temporal controller.",
                advanced=False,
            ))
        seed = QgsProcessingParameterNumber(SEED, "Seed of random numbers", defaultValue=0, minValue=0)
        self.addParameter(finish(seed, "The same seed gives the same result.", advanced=True))
        export = QgsProcessingParameterFileDestination(
            EXPORT_JOB, "Export job instead of running it", "Job files (*.json)", optional=True, createByDefault=False
        )
        self.addParameter(finish(
            export,
            "File that receives the job. It runs here or on a server with: stfusion run FILE. Nothing is computed now; "
            "a temporary output is replaced by a file beside the job.",
            advanced=True,
        ))

    def canExecute(self) -> tuple[bool, str]:
        """Whether there is an engine; the toolbox shows the sentence when there is none."""
        try:
            locator.find(self._method.needs)
        except locator.EngineMissing as missing:
            return False, str(missing)
        return True, ""

    def checkParameterValues(self, parameters: Values, context: QgsProcessingContext) -> tuple[bool, str]:
        """Check the values; the sentence says what is wrong and what helps."""
        problem = next(problems(self._method, Given(self, parameters, context)), None)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Check the values again, for models do not, and copy what is needed of the layers."""
        given = Given(self, parameters, context)
        problem = next(problems(self._method, given), None)
        if problem:
            raise QgsProcessingException(problem)
        values = {p.name: given.value(p) for p in self._method.parameters if p.kind not in _OUTPUTS}
        layers = {p.name: values[p.name] for p in self._method.parameters
                  if p.kind in ("raster", "mask") and values[p.name] is not None}
        self._look = self._fine_look(values, context)
        self._days = {name: day for name, day in ((n, sources.day(layer)) for n, layer in layers.items()) if day}
        paths: dict[str, Any] = {name: sources.path(layer) for name, layer in layers.items()}
        for declared in self._method.parameters:
            if declared.kind == "rasters" and values[declared.name]:
                paths[declared.name] = [sources.path(layer) for layer in values[declared.name]]
            elif declared.kind == "vector" and values[declared.name] is not None:
                paths[declared.name] = self._vector_path(declared, parameters, context, feedback)
        self._values = {**values, **paths}
        return True

    def _vector_path(
        self, declared: Declaration, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> str:
        """The layer's file and its layer in that; what is no plain file, is filtered or edited is copied to one."""
        path, layer = self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, key(declared.name), context, ["gpkg", "shp", "geojson"], "gpkg", feedback
        )
        return f"{path}|layername={layer}" if layer else str(path)

    def work(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the job in the engine, or export it; a fault or a cancel raises."""
        given = Given(self, parameters, context)
        if EXPORT_JOB in given:
            return self._export(given, Path(self.parameterAsFileOutput(parameters, EXPORT_JOB, context)), feedback)
        engine = locator.find(self._method.needs)
        order = self._job(parameters, context, {p.name: given.value(p) for p in self._wanted(given)})
        folder = Path(QgsProcessingUtils.generateTempFilename("job.json")).parent
        self._hand_over(order, folder, feedback)
        found = runner.run_job(engine, order, feedback, str(folder), settings.keep_job_files())
        day = found.get("date") or order["inputs"].get(self._target(), {}).get("date")
        loaded = {key(output.name): "" for output in self._wanted(given)}
        for output in self._wanted(given):
            self._finish(output, order["outputs"][output.name], day, loaded, context)
        results = {key(name): value for name, value in found.items()}
        if self._images():
            left = outcome.read(Path(order["outputs"][self._images()]))
            results[LAYERS] = [image.path for image in left.stack.images]
            if self.parameterAsBoolean(parameters, LOAD, context):
                self._open(left, context, feedback)
        return results

    def _hand_over(self, order: dict[str, Any], folder: Path, feedback: QgsProcessingFeedback) -> None:
        """Put files into the job in place of what the engine's GDAL cannot read."""
        folders, files = (
            [role.id for role in self._method.roles if role.sensor == sensor] for sensor in ("folder", "files")
        )
        containers.hand_over(order, folder, feedback, dict(zip(folders, files, strict=False)))

    def _wanted(self, given: Given) -> list[Declaration]:
        """The outputs that are required or asked for."""
        return [p for p in self._method.parameters if p.kind in _OUTPUTS and (p.required or key(p.name) in given)]

    def _target(self) -> str | None:
        """The role whose date is the result's."""
        return next((role.id for role in self._method.roles if role.epoch == "target"), None)

    def _images(self) -> str:
        """The output that is a folder of dated images; empty where there is none."""
        return next((str(output.id) for output in self._method.outputs if output.images), "")

    def _open(
        self, found: outcome.Outcome, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Have the images opened as a group; they look like the fine image where that is in the project."""
        if found.warning:
            feedback.pushWarning(found.warning)
        group.load_on_completion(context, outcome.with_stretch(found.stack), self._look)

    def _fine_look(self, values: Values, context: QgsProcessingContext) -> QgsRasterRenderer | None:
        """The look of the first fine image that was given, for the bands that are used of it.

        Of a stack it is that of the first one in the project: others have a default look, which suits no other date.
        """
        fine = [role.id for role in self._method.roles if role.sensor == "fine"]
        known = context.project().mapLayers() if context.project() else {}
        stacks = [values[role] for role in fine if isinstance(values[role], list)]
        images = [values[role] for role in fine if isinstance(values[role], QgsRasterLayer)]
        images += [each for stack in stacks for each in stack if each.id() in known]
        layer = next(iter(images), None)
        bands = next((values[p.name] for p in self._method.parameters if p.kind == "bands" and p.parent in fine), None)
        return result.look(layer, bands or ()) if layer else None

    def _job(self, parameters: Values, context: QgsProcessingContext, outputs: dict[str, str]) -> dict[str, Any]:
        """The job; a date that the user did not give is taken from the layer's temporal range, if it has one."""
        order = job.build(
            self._method,
            {**self._values, **outputs},
            seed=self.parameterAsInt(parameters, SEED, context),
            memory_mb=settings.memory_mb(),
            threads=settings.threads(),
        )
        for role, image in order["inputs"].items():
            if role in self._days:
                image.setdefault("date", self._days[role])
        return order

    def _export(self, given: Given, path: Path, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """Write the job, whose outputs are not resolved, so that QGIS does not try to load them."""
        outputs = {}
        for output in self._wanted(given):
            outputs[output.name] = given.destination(key(output.name))
            if outputs[output.name] == QgsProcessing.TEMPORARY_OUTPUT:
                beside = path if output.name == "output" else path.with_stem(f"{path.stem}_{output.name}")
                ending = f".{output.extension}" if output.extension else _OUTPUTS[output.kind]
                outputs[output.name] = str(beside.with_suffix(ending))
                feedback.pushInfo(f"The job will write '{output.title}' to {outputs[output.name]}.")
        order = self._job(given.values, given.context, outputs)
        self._hand_over(order, path.with_name(f"{path.stem}_inputs"), feedback)
        job.write(order, path)
        feedback.pushInfo(f"Wrote {path}; run it with: stfusion run \"{path}\"")
        return {EXPORT_JOB: str(path)}

    def _finish(
        self, output: Declaration, path: str, day: str | None, loaded: dict[str, str], context: QgsProcessingContext
    ) -> None:
        """Name the result and have it finished once QGIS has loaded it, where QGIS is to load it."""
        if output.kind not in ("raster_out", "vector_out") or not context.willLoadLayerOnCompletion(path):
            return
        details = context.layerToLoadOnCompletionDetails(path)
        if details.name in ("", output.title):  # a model gives its outputs names of their own
            title = self._method.title if output.name == "output" else output.title
            details.name = f"{title} {day}" if day else str(title)
            details.forceName = True
        # A layer owns its look, and one beside the result, such as its uncertainty, has other values.
        look = self._look if output.name == "output" else None
        day = day if output.kind == "raster_out" else None
        details.setPostProcessor(result.Finisher(self.id(), key(output.name), look, day, loaded))
