"""Check engine: versions, packages, devices, and a real computation on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputBoolean,
    QgsProcessingOutputString,
)

from ..engine import locator, runner
from .base import EngineAlgorithm
from .parameters import Values

OUTPUTS = {
    "ENGINE": "Version of the engine",
    "PYTHON": "Python of the engine",
    "PACKAGES": "Packages and their versions",
    "DEVICES": "Devices that computed correctly",
}
OK = "OK"


class CheckEngine(EngineAlgorithm):
    """Asks the engine to compute something with every package and device, and says how it went."""

    def createInstance(self) -> CheckEngine:
        """Another one."""
        return CheckEngine()

    def name(self) -> str:
        """The permanent id."""
        return "check_engine"

    def displayName(self) -> str:
        """The title in the toolbox."""
        return "Check engine"

    def tags(self) -> list[str]:
        """Words that find the algorithm in the toolbox."""
        return ["version", "packages", "gpu", "cuda", "device", "diagnostics"]

    def shortDescription(self) -> str:
        """One sentence on what the algorithm does."""
        return "Reports the engine's version, packages and devices, proved by a real computation."

    def shortHelpString(self) -> str:
        """What the report says."""
        return (
            "<p>Starts the engine, computes something on the processor and on every graphics card that it finds, and "
            "compares the results with known ones. The log says the versions of the engine and its packages, which "
            "devices computed correctly, and why the others are not used.</p><p>The first check after an installation "
            "takes a little longer, because the kernels are compiled.</p>"
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the outputs; there is nothing to choose."""
        for name, title in OUTPUTS.items():
            self.addOutput(QgsProcessingOutputString(name, title))
        self.addOutput(QgsProcessingOutputBoolean(OK, "The engine works"))

    def work(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Ask the engine and pass its report on; an engine that cannot compute is an error."""
        engine = locator.find()
        feedback.setProgressText("The engine computes on every device…")
        report = runner.query(engine, "check", feedback)
        for line in _lines(report):
            feedback.pushInfo(line)
        if report["missing"]:
            raise QgsProcessingException(
                f"The engine lacks packages: {', '.join(report['missing'])}; run 'Install engine'."
            )
        if not report["ok"]:
            raise QgsProcessingException(
                "The processor did not compute what it should; run 'Install engine' again, and report it with this log."
            )
        return {
            "ENGINE": report["engine"],
            "PYTHON": report["python"],
            "PACKAGES": _packages(report),
            "DEVICES": ", ".join(device["name"] for device in report["devices"] if device["ok"]),
            OK: True,
        }


def _packages(report: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in report["packages"].items())


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """The report in words."""
    yield f"STF engine {report['engine']}, Python {report['python']} ({report['executable']})"
    yield f"Packages: {_packages(report)}"
    for device in report["devices"]:
        if device["ok"]:
            yield f"Device {device['name']}: computed correctly in {device['seconds']:.3f} s"
        else:
            yield f"Device {device['name']}: not used, because {device['reason']}"
    if report["nvidia_driver"] and all(device["name"].startswith("cpu") for device in report["devices"]):
        yield "An NVIDIA driver is installed, but no CUDA device was found; everything runs on the processor."
