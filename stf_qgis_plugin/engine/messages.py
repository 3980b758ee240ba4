"""What the engine says while it works (JSON lines), passed on to the feedback of a QGIS algorithm."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..algorithms.declarations import snapshot

#: Lines of foreign output that reach the log, and their length: more would drown it and slow the window down.
_CONSOLE_LINES = 1000
_CONSOLE_WIDTH = 1000


class Listener:
    """Takes the engine's standard output line by line and remembers how the run came out.

    ``outputs`` is the result once there is one; ``error`` is the message of the engine's error and ``code`` its kind.
    """

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._progress = -1
        self._foreign = 0
        self._greeted = False
        self.outputs: dict[str, Any] | None = None
        self.error = ""
        self.code = ""

    def take(self, line: str) -> None:
        """Pass a line on; one that is no message is shown as it is, a message of an unknown type is ignored.

        Raises
        ------
        QgsProcessingException
            The engine is not the one that this plugin was made for.
        """
        message = json_object(line)
        if message is None or "type" not in message:
            self._show(line)
            return
        handle = getattr(self, f"_on_{message['type']}", None)
        if handle is None:
            return
        try:
            handle(message)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            # A message without the fields of its type is foreign output that happens to look like one.
            self._show(line)

    def _on_hello(self, message: dict[str, Any]) -> None:
        check_version(message)
        self._greeted = True
        self._feedback.pushInfo(f"STF engine {message['engine']} on {message['device']}")

    def _on_stage(self, message: dict[str, Any]) -> None:
        self._feedback.setProgressText(f"{message['name']} ({message['index']} of {message['count']})")

    def _on_progress(self, message: dict[str, Any]) -> None:
        progress = min(max(int(message["value"]), 0), 100)
        if progress != self._progress:
            self._progress = progress
            self._feedback.setProgress(progress)

    def _on_log(self, message: dict[str, Any]) -> None:
        self._feedback.pushInfo(str(message["message"]))

    def _on_warning(self, message: dict[str, Any]) -> None:
        self._feedback.pushWarning(str(message["message"]))

    def _on_metric(self, message: dict[str, Any]) -> None:
        self._feedback.pushInfo(f"{message['name']}: {float(message['value']):g}")

    def _on_result(self, message: dict[str, Any]) -> None:
        if not self._greeted:
            raise QgsProcessingException(
                "The STF engine gave a result without saying its version; run 'Install engine' in the toolbox again."
            )
        self.outputs = dict(message["outputs"])

    def _on_error(self, message: dict[str, Any]) -> None:
        self.error = str(message["message"])
        self.code = str(message["code"])

    def _show(self, line: str) -> None:
        if line.strip() and self._foreign < _CONSOLE_LINES:
            self._feedback.pushConsoleInfo(line[:_CONSOLE_WIDTH])
            self._foreign += 1
            if self._foreign == _CONSOLE_LINES:
                self._feedback.pushConsoleInfo("(more output of this kind is not shown)")


def json_object(line: str) -> dict[str, Any] | None:
    """The JSON object in a line; None for anything else, whatever libraries print."""
    if not line.startswith("{"):
        return None
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) else None


def check_version(message: dict[str, Any]) -> None:
    """Refuse an engine that is not the plugin's own, by ``engine`` and ``protocol`` of what it says about itself.

    Raises
    ------
    QgsProcessingException
    """
    expected = snapshot()
    if (message.get("engine"), message.get("protocol")) != (expected.engine, expected.protocol):
        raise QgsProcessingException(
            f"The engine says that it is version {message.get('engine')} with protocol {message.get('protocol')}, "
            f"but this plugin works with version {expected.engine} and protocol {expected.protocol}; restart QGIS if "
            "STF has just been updated, else run 'Install engine' in the toolbox again."
        )
