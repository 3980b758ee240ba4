"""A stand-in for the processes of parts: jobs run in this process, and fail, or lack memory, where they are told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stfusion import parts
from stfusion.alone import Outcome
from stfusion.errors import Cancelled
from stfusion.job import Job
from stfusion.protocol import Reporter
from stfusion.run import Stop, run


class _Heard(Reporter):
    def __init__(self, outcome: Outcome, hear: Callable[[str, dict[str, Any]], None]) -> None:
        self._outcome, self._hear = outcome, hear

    def emit(self, kind: str, **fields: Any) -> None:
        self._outcome.hear(kind, fields)
        self._hear(kind, fields)


class InProcess:
    """``ran`` has the names of the files that were ordered; ``faults`` are outcomes by such a name, given once.

    ``before`` is called with the name before a job runs.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.orders: list[Job] = []
        self.faults: dict[str, Outcome] = {}
        self.before: Callable[[str, Stop], None] = lambda name, stop: None
        patch.setattr(parts, "Worker", lambda: self)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, order: Job, stop: Stop, hear: Callable[[str, dict[str, Any]], None]) -> Outcome:
        name = Path(order.outputs["output"]).name
        self.ran.append(name)
        self.orders.append(order)
        self.before(name, stop)
        if name in self.faults:
            return self.faults.pop(name)
        outcome = Outcome()
        run(order, _Heard(outcome, hear), stop)
        if outcome.code == Cancelled.code:
            raise Cancelled(outcome.error)
        return outcome
