"""Errors that reach the user: one sentence naming the layer, the values and the remedy, and the exit code."""

from __future__ import annotations

from typing import Any, ClassVar


class StfError(Exception):
    """Base of every error the engine reports on purpose; anything else is a defect of the engine."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1


class UserError(StfError):
    """The user's data or options cannot be processed as they are (exit code 2)."""

    code = "user"
    exit_code = 2


class EnvironmentFault(StfError):
    """The machine or the engine's environment lacks something: a package, a right, disk space (exit code 3)."""

    code = "environment"
    exit_code = 3


class OutOfMemory(StfError):
    """The work does not fit into the memory limit (exit code 4)."""

    code = "memory"
    exit_code = 4


class Incomplete(StfError):
    """Some parts of the work failed and the others are done; what there is is written (exit code 5)."""

    code = "incomplete"
    exit_code = 5

    def __init__(self, message: str, outputs: dict[str, Any]) -> None:
        super().__init__(message)
        self.outputs = outputs


class Cancelled(StfError):
    """The user stopped the run (exit code 130)."""

    code = "cancelled"
    exit_code = 130
