"""Remove engine: deletes the environment that Install engine made."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from .. import settings
from ..engine import installer
from .consent import ConsentAlgorithm
from .parameters import Values


class RemoveEngine(ConsentAlgorithm):
    """Removes the installed engine and what it compiled; an interpreter named in the settings stays as it is."""

    def createInstance(self) -> RemoveEngine:
        """Another one."""
        return RemoveEngine()

    def name(self) -> str:
        """The permanent id."""
        return "remove_engine"

    def displayName(self) -> str:
        """The title in the toolbox."""
        return "Remove engine"

    def tags(self) -> list[str]:
        """Words that find the algorithm in the toolbox."""
        return ["uninstall", "delete", "environment", "packages", "disk space"]

    def shortDescription(self) -> str:
        """One sentence on what the algorithm does."""
        return "Removes the Python environment that Install engine made."

    def shortHelpString(self) -> str:
        """What is removed, and what stays."""
        return (
            f"<p>Removes the engine's environment and its compiled files from <b>{settings.engine_folder()}</b>. "
            "Results, jobs and settings stay, and so does a Python that the settings name. 'Install engine' brings the "
            "environment back.</p>"
        )

    def consequence(self) -> str:
        """What would happen."""
        return f"The engine's environment in '{settings.engine_folder()}' would be removed"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the consent."""
        self.add_consent("Remove the engine's environment", "Nothing is removed without it.")

    def work(
        self, parameters: Values, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Remove; a fault raises."""
        self.require_consent(parameters, context)
        installer.uninstall()
        feedback.pushInfo(f"Removed the engine from '{settings.engine_folder()}'.")
        return {}
