"""Running jobs in engines that behave well and badly: what the user sees, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from qgis.core import QgsProcessingException

import fake_engine
from recording import Recorder, alive, wait_until


@pytest.fixture
def bench(stf, tmp_path) -> SimpleNamespace:
    """A job with one output, a folder to run it in, and a way to run it in a fake engine."""
    folder = tmp_path / "job"
    folder.mkdir()
    output = tmp_path / "fused.tif"
    job = {"schema": 1, "operation": "fuse", "method": "starfm", "outputs": {"output": str(output)}}

    def run(behaviour: str, feedback: Recorder, keep: bool = False) -> dict:
        engine = stf.locator.Engine(fake_engine.make(behaviour, tmp_path), str(stf.locator.core_folder()))
        return stf.runner.run_job(engine, job, feedback, str(folder), keep)

    return SimpleNamespace(run=run, job=job, folder=folder, output=output, part=Path(f"{output}.part"))


def engine_is_gone(bench) -> bool:
    return not alive(int((bench.folder / "pid").read_text(encoding="utf-8")))


def failure(bench, behaviour: str, feedback: Recorder | None = None) -> str:
    """The sentence with which a run fails; nothing of it may be left."""
    with pytest.raises(QgsProcessingException) as raised:
        bench.run(behaviour, feedback or Recorder())
    if (bench.folder / "pid").exists():
        assert engine_is_gone(bench)
    assert not bench.part.exists()
    return str(raised.value)


def test_a_good_run(bench):
    feedback = Recorder()
    assert bench.run("good", feedback) == {"output": str(bench.output)}
    assert feedback.texts("stage") == ["read (1 of 2)", "fuse (2 of 2)"]
    assert feedback.texts("info") == [f"STF engine {fake_engine.VERSION} on fake", "a note", "RMSE: 0.0125"]
    assert feedback.texts("warning") == ["a doubt"]
    assert feedback.texts("console") == []
    assert feedback.progress == list(range(100))  # a thousand messages, a hundred changes


def test_the_job_file_and_the_command(bench):
    feedback = Recorder()
    bench.run("good", feedback)
    written = bench.folder / "job.json"
    assert json.loads(written.read_text(encoding="utf-8")) == bench.job
    (command,) = feedback.texts("command")
    assert command.startswith("PYTHONPATH=")
    assert command.endswith(f"/good -m stfusion run {written}")
    assert not Path(f"{bench.output}.job.json").exists()


def test_the_job_file_is_kept_beside_the_result(bench):
    bench.run("good", Recorder(), keep=True)
    assert json.loads(Path(f"{bench.output}.job.json").read_text(encoding="utf-8")) == bench.job


def test_in_a_worker_thread(bench):
    results = []
    thread = threading.Thread(target=lambda: results.append(bench.run("good", Recorder())))
    thread.start()
    thread.join(60)
    assert results == [{"output": str(bench.output)}]


def test_what_was_done_in_part_is_a_result(bench):
    feedback = Recorder()
    assert bench.run("in_part", feedback) == {"output": str(bench.output)}
    assert feedback.texts("error") == ["1 of 3 dates failed: 2020-01-02 (no pixel)."]


def test_garbage_is_shown_and_survived(bench):
    feedback = Recorder()
    assert bench.run("garbage", feedback) == {"output": str(bench.output)}
    shown = feedback.texts("console")
    assert shown[:5] == ["plain words", "{not json", "{}", "[1, 2]", "42"]
    assert max(map(len, shown)) <= 1000
    assert not any("novelty" in text or "later version" in text for _, text in feedback.told)
    assert feedback.progress == []


def test_messages_cut_anywhere(bench):
    feedback = Recorder()
    assert bench.run("chunks", feedback) == {"output": str(bench.output)}
    assert feedback.texts("info")[1:] == [f"Größe {number}" for number in range(5)]
    assert feedback.texts("console") == []


def test_a_flood_of_output(bench):
    feedback = Recorder()
    assert bench.run("flood", feedback) == {"output": str(bench.output)}
    assert len(feedback.texts("console")) == 1001
    assert feedback.texts("info")[-1] == "m" * 1_000_000


@pytest.mark.parametrize(("behaviour", "words"), [
    ("wrong_version", "version 9.9.9"),
    ("wrong_protocol", "protocol 99"),
])
def test_another_version_is_stopped(bench, behaviour, words):
    message = failure(bench, behaviour)
    assert words in message
    assert f"version {fake_engine.VERSION} and protocol {fake_engine.PROTOCOL}" in message
    assert "Install engine" in message


@pytest.mark.parametrize(("behaviour", "words"), [
    ("no_hello", "without saying its version"),
    ("no_result", "ended without a result"),
    ("crash", "crashed"),
    ("killed", "out of memory; lower the memory limit in Settings ▸ Options ▸ Processing ▸ Providers ▸ STF"),
    ("killed_in_shell", "out of memory; lower the memory limit"),
    ("out_of_memory", "ran out of memory; change the memory limit"),
    ("fails", "exit code 1"),
])
def test_an_abnormal_end(bench, behaviour, words):
    assert words in failure(bench, behaviour)


def test_the_engine_says_why(bench):
    feedback = Recorder()
    assert failure(bench, "user_error", feedback) == "The fine image 'a.tif' has no CRS; assign one."
    assert feedback.texts("console") == []


def test_last_words_only_on_failure(bench):
    feedback = Recorder()
    failure(bench, "fails", feedback)
    (shown,) = feedback.texts("console")
    assert shown.endswith("ModuleNotFoundError: numba")
    assert "early words" not in shown
    assert len(shown) <= 64 * 1024


@pytest.mark.parametrize("behaviour", ["polite", "deaf", "deaf_flood"])
def test_cancel(bench, behaviour):
    """The deaf ones would go on for a minute or for ever."""
    feedback = Recorder(cancel_on="working")
    finished = threading.Event()

    def run() -> None:
        assert failure(bench, behaviour, feedback) == "Cancelled"
        finished.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert wait_until(feedback.isCanceled)
    assert finished.wait(20)
    assert (bench.folder / "stopped").exists() == (behaviour == "polite")  # asked first, killed only when deaf


def test_interrupted_by_another_hand(bench):
    assert failure(bench, "interrupted") == "Cancelled"


def test_an_interpreter_that_is_not_there(stf, bench):
    engine = stf.locator.Engine("/nowhere/python", str(stf.locator.core_folder()))
    with pytest.raises(QgsProcessingException, match="'/nowhere/python' cannot be started"):
        stf.runner.run_job(engine, bench.job, Recorder(), str(bench.folder))


def test_a_job_folder_that_is_not_there(stf, bench, tmp_path):
    with pytest.raises(QgsProcessingException, match=r"job\.json' cannot be written"):
        stf.runner.run_job(stf.locator.Engine(sys.executable, ""), bench.job, Recorder(), str(tmp_path / "gone"))


class TestQuery:
    """Questions to the engine."""

    @staticmethod
    def ask(stf, tmp_path, behaviour, word="check", feedback=None):
        engine = stf.locator.Engine(fake_engine.make(behaviour, tmp_path), str(tmp_path))
        return stf.runner.query(engine, word, feedback)

    def test_a_failed_check_is_an_answer(self, stf, tmp_path):
        answer = self.ask(stf, tmp_path, "answers")
        assert answer["asked"] == ["check", "--json"]
        assert answer["ok"] is False

    def test_another_version(self, stf, tmp_path):
        with pytest.raises(QgsProcessingException, match=r"version 0\.0\.1"):
            self.ask(stf, tmp_path, "old_answers", "info")

    def test_no_answer(self, stf, tmp_path):
        feedback = Recorder()
        with pytest.raises(QgsProcessingException, match="does not run the STF engine"):
            self.ask(stf, tmp_path, "fails", "info", feedback)
        assert "ModuleNotFoundError" in feedback.texts("console")[0]

    def test_too_slow(self, stf, tmp_path, monkeypatch):
        monkeypatch.setitem(stf.runner._LIMITS, "info", 5.0)
        with pytest.raises(QgsProcessingException, match="did not answer within"):
            self.ask(stf, tmp_path, "wrong_version", "info")
        assert not alive(int((tmp_path / "pid").read_text(encoding="utf-8")))

    def test_cancel(self, stf, tmp_path):
        feedback = Recorder()
        feedback.cancel()
        with pytest.raises(QgsProcessingException, match="Cancelled"):
            self.ask(stf, tmp_path, "wrong_version", "info", feedback)
        assert wait_until(lambda: not (tmp_path / "pid").exists()
                          or not alive(int((tmp_path / "pid").read_text(encoding="utf-8") or 0)))

    def test_the_real_engine(self, stf, engine, tmp_path, monkeypatch):
        core = shutil.copytree(stf.locator.core_folder(), tmp_path / "core",
                               ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(stf.locator, "core_folder", lambda: core)
        answer = stf.runner.query(stf.locator.Engine(str(engine), str(core)), "info")
        assert answer["executable"] == str(engine)
        assert [method["id"] for method in answer["methods"]] == [method.id for method in stf.snapshot().methods]
        assert not list(core.rglob("__pycache__"))


HOST = """
import sys
sys.path[:0] = sys.argv[5:]
from qgis.core import QgsApplication, QgsProcessingFeedback
application = QgsApplication([], False)
application.initQgis()
sys.path.append(f"{QgsApplication.pkgDataPath()}/python/plugins")
from stf_qgis_plugin.engine import runner
from stf_qgis_plugin.engine.locator import Engine
job = {"outputs": {"output": sys.argv[3]}}
runner.run_job(Engine(sys.argv[1], sys.argv[2]), job, QgsProcessingFeedback(False), sys.argv[4])
"""


def test_the_engine_does_not_outlive_qgis(stf, bench, tmp_path):
    arguments = [fake_engine.make("polite", tmp_path), str(stf.locator.core_folder()), str(bench.output),
                 str(bench.folder), str(stf.locator.plugin_folder().parent)]
    with subprocess.Popen([sys.executable, "-c", HOST, *arguments], cwd=tmp_path) as host:
        assert wait_until(bench.part.exists, 60)
        engine = int((bench.folder / "pid").read_text(encoding="utf-8"))
        assert alive(engine)
        os.kill(host.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(engine))
