"""Install engine: makes the engine's own Python environment, with consent and outside QGIS."""

from __future__ import annotations

import re
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
)

from .. import settings
from ..engine import installer, locator, packages
from .consent import ConsentAlgorithm
from .parameters import Values, finish

BASE_PYTHON = "BASE_PYTHON"
NETWORKS = "NETWORKS"
TORCH_INDEX = "TORCH_INDEX"
WHEELS = "WHEELS"
PYTHON = "PYTHON"


class InstallEngine(ConsentAlgorithm):
    """Installs the engine; its form is the installer, with the plan, the consent, progress, log and cancel."""

    def createInstance(self) -> InstallEngine:
        """Another one."""
        return InstallEngine()

    def name(self) -> str:
        """The permanent id."""
        return "install_engine"

    def displayName(self) -> str:
        """The title in the toolbox."""
        return "Install engine"

    def tags(self) -> list[str]:
        """Words that find the algorithm in the toolbox."""
        return ["setup", "dependencies", "environment", "packages", "repair", "update"]

    def shortDescription(self) -> str:
        """One sentence on what the algorithm does."""
        return "Installs or repairs the engine in a Python environment of its own, outside QGIS."

    def shortHelpString(self) -> str:
        """What is installed, where, and how big it is."""
        base, networks = (installer.size(packages.Choice(networks=wanted)) for wanted in (False, True))
        *names, last = (re.split("[<>=!~]", line)[0] for line in locator.requirements())
        return (
            "<p>STF computes in an engine of its own, so that QGIS and its Python stay as they are.</p>"
            f"<p><b>What:</b> the packages {', '.join(names)} and {last}, and those that they need, under their own "
            "free licences.</p>"
            f"<p><b>Where:</b> {settings.engine_folder()}</p>"
            f"<p><b>How big:</b> about {base.download} MB are downloaded from the Python package index, about "
            f"{base.disk} MB stay on the disk; {base.needed} MB have to be free. With the packages of the networks "
            f"(PyTorch) it is {networks.download} MB and {networks.disk} MB; {networks.needed} MB have to be free.</p>"
            "<p>An engine that is already there stays in use until the new one has passed its test. Cancel leaves "
            "nothing behind. Without network, give a folder of wheels; to use a Python that has the packages "
            f"already, name it in {settings.PAGE} instead.</p>"
        )

    def consequence(self) -> str:
        """What would happen."""
        return f"Packages would be downloaded, and the engine installed into '{settings.engine_folder()}'"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the consent, and where Python and the packages come from."""
        self.add_consent("I agree to this download and installation", "Nothing is downloaded or installed without it.")
        self.addParameter(finish(
            QgsProcessingParameterBoolean(NETWORKS, "Packages of the networks", defaultValue=False),
            "Install PyTorch too, which the algorithms of the group 'Spatiotemporal fusion (networks)' need. All "
            "others do without. The help beside this form says how much is downloaded.",
            advanced=False,
        ))
        self.addParameter(finish(
            QgsProcessingParameterString(TORCH_INDEX, "Package index of PyTorch", optional=True),
            "Address of an index that has PyTorch in another build, as PyTorch's own installation page names it: for a "
            "processor alone, which is much smaller on Linux, or for a CUDA version, which Windows does not get "
            "otherwise. The usual build when empty.",
            advanced=True,
        ))
        self.addParameter(finish(
            QgsProcessingParameterFile(BASE_PYTHON, "Python to make the environment from", optional=True),
            "Interpreter (python3, python.exe) of a Python 3.10 or newer that is not QGIS's own. It stays as it is. "
            "When empty, the best one on this computer is found.",
            advanced=True,
        ))
        self.addParameter(finish(
            QgsProcessingParameterFile(
                WHEELS,
                "Folder of wheels",
                behavior=QgsProcessingParameterFile.Behavior.Folder,
                optional=True,
            ),
            "Folder with all packages as wheels (.whl) for this computer, such as 'pip download' makes. Nothing is "
            "downloaded then.",
            advanced=True,
        ))
        self.addOutput(QgsProcessingOutputString(PYTHON, "Python of the engine"))

    def work(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Install; a fault or a cancel raises and leaves everything as it was."""
        self.require_consent(parameters, context)
        engine = installer.install(
            feedback,
            self.parameterAsFile(parameters, BASE_PYTHON, context),
            packages.Choice(
                networks=self.parameterAsBool(parameters, NETWORKS, context),
                wheels_folder=self.parameterAsFile(parameters, WHEELS, context),
                torch_index=self.parameterAsString(parameters, TORCH_INDEX, context).strip(),
            ),
        )
        return {PYTHON: engine.python}
