"""Algorithms that change the user's disk: they do nothing before a box is ticked."""

from __future__ import annotations

from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingParameterBoolean

from .base import EngineAlgorithm
from .parameters import Values, finish

CONSENT = "CONSENT"


class ConsentAlgorithm(EngineAlgorithm):
    """Asks before it acts; a subclass says what for, and calls :meth:`require_consent` before its work."""

    def consequence(self) -> str:
        """What would happen, as the begin of a sentence."""
        return ""

    def add_consent(self, label: str, explanation: str) -> None:
        """Declare the box."""
        self.addParameter(
            finish(QgsProcessingParameterBoolean(CONSENT, label, defaultValue=False), explanation, advanced=False)
        )

    def checkParameterValues(self, parameters: Values, context: QgsProcessingContext) -> tuple[bool, str]:
        """Refuse without the consent."""
        if self.parameterAsBool(parameters, CONSENT, context):
            return super().checkParameterValues(parameters, context)
        return False, self._refusal()

    def require_consent(self, parameters: Values, context: QgsProcessingContext) -> None:
        """Refuse once more, since models do not check values.

        Raises
        ------
        QgsProcessingException
            The box is not ticked.
        """
        if not self.parameterAsBool(parameters, CONSENT, context):
            raise QgsProcessingException(self._refusal())

    def _refusal(self) -> str:
        return f"{self.consequence()}; tick '{self.parameterDefinition(CONSENT).description()}' to do it."
