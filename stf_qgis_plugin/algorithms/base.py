"""What all algorithms have in common: icon, help page and a group id made from the group's name."""

from __future__ import annotations

import re
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtGui import QIcon

from .declarations import icon_path

HELP_PAGES = "https://github.com/stf-qgis/stf/blob/main"


class StfAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of the provider; a subclass gives the rest, and ``work(parameters, context, feedback)`` does it."""

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Do the work. QGIS shows the sentence of its own exception alone, but a Python trace for a subclass of it."""
        try:
            return self.work(parameters, context, feedback)
        except QgsProcessingException as error:
            raise QgsProcessingException(str(error)) from None

    def groupId(self) -> str:
        """The group's permanent id."""
        return re.sub(r"\W+", "_", self.group().lower()).strip("_")

    def icon(self) -> QIcon:
        """The provider's icon."""
        return QIcon(icon_path())

    def svgIconPath(self) -> str:
        """The provider's icon."""
        return icon_path()


class EngineAlgorithm(StfAlgorithm):
    """An algorithm that looks after the engine."""

    def group(self) -> str:
        """The group in the toolbox."""
        return "Engine"

    def helpUrl(self) -> str:
        """The page about the engine."""
        return f"{HELP_PAGES}/README.md"

    def flags(self) -> QgsProcessingAlgorithm.Flag:
        """It can be cancelled, and makes no sense as a batch; 'hide from modeler' would hide it in qgis_process too."""
        return QgsProcessingAlgorithm.Flag.FlagCanCancel
