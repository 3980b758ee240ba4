"""Running a job: the context that a method works in, its stop, and the exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from stfusion import device
from stfusion.cost import cpu_seconds, peak_memory_mb
from stfusion.declaration import Method, Scalar
from stfusion.device import Device
from stfusion.errors import Cancelled, EnvironmentFault, Incomplete, OutOfMemory, StfError
from stfusion.folder import check_outputs
from stfusion.job import Job
from stfusion.protocol import Reporter

#: Seconds that a stopped run has to end by itself before it is ended.
GRACE_SECONDS = 1.5
#: Names of the metrics that every run reports of its process at its end.
CPU_SECONDS, PEAK_MEMORY = "Processor seconds", "Peak memory in MB"


class Stop:
    """The wish to stop, set from any thread, and the unfinished files that must not stay behind."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._unfinished: set[Path] = set()
        self._timer: threading.Timer | None = None

    def check(self) -> None:
        """Raise :class:`Cancelled` when the run is to stop."""
        if self._event.is_set():
            raise Cancelled("The run was cancelled.")

    def watch(self, folder: Path) -> None:
        """Remember a folder of unfinished files."""
        self._unfinished.add(folder)

    def clean(self) -> None:
        """Remove the unfinished files."""
        for folder in self._unfinished:
            shutil.rmtree(folder, ignore_errors=True)

    def request(self) -> None:
        """Ask the run to stop; end the process if it has not done so after the grace time."""
        if not self._event.is_set():
            self._event.set()
            self._timer = threading.Timer(GRACE_SECONDS, self._end)
            self._timer.daemon = True
            self._timer.start()

    def finished(self) -> None:
        """Say that the run has ended by itself, so that the process is not ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        self.clean()
        os._exit(Cancelled.exit_code)

    def on_signals(self) -> None:
        """Stop on SIGINT and SIGTERM."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.request()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)

    def on_closed_stdin(self) -> None:
        """Stop when standard input is closed, as it is when the program that started the engine is gone."""

        def wait() -> None:
            # os.read and not sys.stdin: a thread blocked in sys.stdin makes the interpreter abort at its exit.
            while os.read(0, 4096):
                continue
            self.request()

        threading.Thread(target=wait, daemon=True).start()


class Context:
    """What a method is given: the job, its declaration, where to report, and when to stop."""

    def __init__(self, job: Job, reporter: Reporter, stop: Stop | None = None) -> None:
        self.job = job
        self.reporter = reporter
        self.stop = stop or Stop()

    @property
    def method(self) -> Method:
        """The declaration of the job's method."""
        return self.job.declaration

    @property
    def options(self) -> Mapping[str, Scalar]:
        """The checked options by id."""
        return self.job.options

    @cached_property
    def device(self) -> Device:
        """What computes the methods that can use a CUDA card."""
        return device.find(self.job.device)

    @property
    def threads(self) -> int:
        """Number of threads to use."""
        # Where the system tells, only the cores that this process may use, as a cluster's scheduler sets them.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return self.job.threads or cores or 1

    @property
    def memory_bytes(self) -> int:
        """The memory limit of the whole engine process."""
        return self.job.memory_mb * 2**20


def run(
    job: Job, reporter: Reporter, stop: Stop | None = None, work: Callable[[Context], dict[str, Any]] | None = None
) -> int:
    """Run a job and return the exit code: 0 done, 2 data or options, 3 environment, 4 memory, 5 in part, 130 cancelled.

    Every outcome is reported; nothing half-written stays behind. ``work`` is done for the job instead of all of it.
    """
    context = Context(job, reporter, stop)
    try:
        reporter.hello(context.device.name)
        if context.device.fault:
            reporter.warning(f"The processor computes, since {context.device.fault}; 'Check engine' says more.")
        check_outputs(job)
        outputs = (work or job.declaration.load())(context)
    except Incomplete as error:
        reporter.result(error.outputs)
        return _fail(context, error)
    except StfError as error:
        return _fail(context, error)
    except MemoryError:
        return _fail(context, OutOfMemory(
            f"The memory limit of {job.memory_mb} MB or the machine's memory was exceeded; "
            "lower the memory limit or close other programs."
        ))
    except ImportError as error:
        return _fail(context, _lacking(job.declaration, error))
    except Exception as error:  # noqa: BLE001
        # The last line of defence: a defect of ours is reported as one, with its trace for the report.
        traceback.print_exc()
        context.stop.clean()
        reporter.error("internal", f"The engine failed unexpectedly ({type(error).__name__}: {error}); "
                                   "please report it with the log.")
        return 1
    finally:
        context.stop.finished()
    reporter.progress(100.0)
    reporter.metric(CPU_SECONDS, cpu_seconds())
    reporter.metric(PEAK_MEMORY, peak_memory_mb())
    reporter.result(outputs)
    return 0


def _lacking(method: Method, error: ImportError) -> EnvironmentFault:
    """What to say of a package that is not there, and that the networks alone may need."""
    what = f"The engine's Python lacks a working package '{error.name}' ({error})"
    if method.needs == "networks":
        return EnvironmentFault(
            f"{what}, which {method.title} needs; run 'Install engine' in QGIS with 'Packages of the networks', or "
            "install the packages of core/requirements.txt and core/requirements-networks.txt."
        )
    return EnvironmentFault(
        f"{what}; run 'Install engine' in QGIS, or install the packages of core/requirements.txt."
    )


def _fail(context: Context, error: StfError) -> int:
    context.stop.clean()
    context.reporter.error(error.code, str(error))
    return error.exit_code
