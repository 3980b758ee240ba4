"""Running a job in the engine, from the worker thread of a QGIS algorithm."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from .. import settings
from . import process
from .environment import clean_environment
from .locator import Engine
from .messages import Listener, check_version, json_object

#: Seconds that a question may take. The proof compiles kernels and wakes up the graphics card when it runs first.
_LIMITS = {"info": 60.0, "check": 600.0}

_OUT_OF_MEMORY = 4


def run_job(
    engine: Engine, job: dict[str, Any], feedback: QgsProcessingFeedback, folder: str, keep: bool = False
) -> dict[str, Any]:
    """Run ``job`` and return the outputs of its result by name; where some parts failed, those of the others.

    ``job.json`` is written into ``folder``, which has to exist and is the engine's working directory. With ``keep``
    a copy of it stays beside each result, as ``<output>.job.json``.

    Raises
    ------
    QgsProcessingException
        The run failed or was cancelled; the engine is gone, and so are its unfinished files.
    """
    path = os.path.join(folder, "job.json")
    try:
        Path(path).write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise QgsProcessingException(
            f"The job file '{path}' cannot be written ({error.strerror}); make room in the temporary folder."
        ) from error
    feedback.pushCommandInfo(_pasteable(engine, path))
    outputs = [os.path.join(folder, str(output)) for output in job.get("outputs", {}).values()]
    try:
        result = _run(engine, path, folder, feedback)
    except QgsProcessingException:
        _remove_unfinished(outputs, feedback)
        raise
    if keep:
        _keep(path, outputs, feedback)
    return result


def query(engine: Engine, word: str, feedback: QgsProcessingFeedback | None = None) -> dict[str, Any]:
    """Ask the engine for ``info`` or ``check`` and return its answer; a failed check is an answer too.

    Raises
    ------
    QgsProcessingException
        The engine did not start, did not answer in time, is not the plugin's own, or the user cancelled.
    """
    feedback = feedback or QgsProcessingFeedback()
    answers: list[dict[str, Any]] = []

    def take(line: str) -> None:
        answer = json_object(line)
        if answer is not None:
            answers.append(answer)

    command = [*_command(engine, word), "--json"]
    ended = process.run(
        command, engine.core, clean_environment(), take, feedback, limit_s=_LIMITS[word], grace_s=0.0
    )
    if not answers:
        _show_last_words(ended, feedback)
        raise QgsProcessingException(
            f"'{engine.python}' does not run the STF engine (exit code {ended.code}); run 'Install engine' in the "
            f"toolbox, or give another Python in {settings.PAGE}."
        )
    check_version(answers[-1])
    return answers[-1]


def _run(engine: Engine, path: str, folder: str, feedback: QgsProcessingFeedback) -> dict[str, Any]:
    listener = Listener(feedback)
    command = [*_command(engine, "run", path), "--json", "--watch-stdin"]
    ended = process.run(command, folder, clean_environment(), listener.take, feedback)
    if listener.code == "cancelled":
        raise process.Cancelled()
    if listener.code == "incomplete" and listener.outputs is not None:
        feedback.reportError(listener.error)
        return listener.outputs
    if listener.outputs is None or listener.error or ended.crashed or ended.code != 0:
        _show_last_words(ended, feedback)
        raise QgsProcessingException(listener.error or _reason(ended))
    return listener.outputs


def _reason(ended: process.Ended) -> str:
    """Why a run failed whose engine did not say so."""
    if _killed(ended):
        return (
            "The STF engine was killed, probably because the computer ran out of memory; lower the memory limit in "
            f"{settings.PAGE}, or close other programs."
        )
    if ended.crashed:
        return f"The STF engine crashed (signal or code {ended.code}); the log shows its last words."
    if ended.code == _OUT_OF_MEMORY:
        return f"The STF engine ran out of memory; change the memory limit in {settings.PAGE}, or close other programs."
    if ended.code == 0:
        return "The STF engine ended without a result; run 'Check engine' in the toolbox."
    return (
        f"The STF engine ended with exit code {ended.code} without saying why; the log shows its last words, and "
        "'Check engine' in the toolbox tests it."
    )


def _killed(ended: process.Ended) -> bool:
    """Whether the system killed the engine, directly or inside a shell; Windows has no such signal."""
    number = int(getattr(signal, "SIGKILL", 9))
    return ended.code == (number if ended.crashed else 128 + number)


def _command(engine: Engine, *words: str) -> list[str]:
    return [engine.python, "-m", "stfusion", *words]


def _pasteable(engine: Engine, path: str) -> str:
    """The command that does the same in a terminal."""
    if os.name == "nt":
        words = " ".join(f'"{word}"' for word in _command(engine, "run", path))
        return f'set "PYTHONPATH={engine.core}" && {words}'
    return f"PYTHONPATH={shlex.quote(engine.core)} {shlex.join(_command(engine, 'run', path))}"


def _show_last_words(ended: process.Ended, feedback: QgsProcessingFeedback) -> None:
    if ended.last_words:
        feedback.pushConsoleInfo(ended.last_words)


def _keep(path: str, outputs: list[str], feedback: QgsProcessingFeedback) -> None:
    for copy in (f"{output}.job.json" for output in outputs):
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            feedback.pushWarning(f"The job file cannot be kept in '{copy}' ({error.strerror}); it is still '{path}'.")


def _remove_unfinished(outputs: list[str], feedback: QgsProcessingFeedback) -> None:
    """Remove the folders in which a run that ended early prepared its outputs."""
    for unfinished in (f"{output}.part" for output in outputs):
        shutil.rmtree(unfinished, ignore_errors=True)
        if os.path.exists(unfinished):
            feedback.pushWarning(f"The unfinished files in '{unfinished}' cannot be removed; remove them by hand.")
