"""JSON lines, the only way out: the plugin reads these very lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from stfusion import PROTOCOL, __version__
from stfusion.protocol import JsonReporter

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = (ROOT / "tests/contract/protocol.jsonl").read_text(encoding="utf-8")


def test_the_reporter_speaks_the_golden_lines() -> None:
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    reporter.hello("cpu")
    reporter.stage("Fusing", 1, 2)
    reporter.progress(33.333)
    reporter.log("Aligned the coarse image.")
    reporter.warning("The ranges differ: 0..1 and 0..10000.")
    reporter.metric("rmse", 0.0125)
    reporter.progress(100.0)
    reporter.result({"output": "/data/fused.tif"})
    reporter.error("user", "The file '/data/fine.tif' does not exist; choose another.")
    spoken = [json.loads(line) for line in stream.getvalue().splitlines()]
    golden = [json.loads(line) for line in GOLDEN.splitlines()]
    assert spoken == [{**golden[0], "engine": __version__, "protocol": PROTOCOL}, *golden[1:]]


def test_progress_is_not_a_flood() -> None:
    """A thousand steps at once come as a line or two, and the end always comes."""
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    for step in range(1000):
        reporter.progress(step / 10)
    reporter.progress(100.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) < 20
    assert json.loads(lines[-1]) == {"type": "progress", "value": 100.0}


def test_a_text_with_line_breaks_stays_one_line() -> None:
    stream = io.StringIO()
    JsonReporter(stream).log("one\ntwo\r\nthree \u2028 four")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "one\ntwo\r\nthree \u2028 four"


def test_check_reports_versions_and_devices(engine: Any) -> None:
    """The check computes on a device and says how it went; the plugin shows this."""
    done = engine("check", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["missing"]) == (0, True, [])
    assert (report["engine"], report["protocol"]) == (__version__, PROTOCOL)
    processor = report["devices"][0]
    assert (processor["name"], processor["ok"]) == ("cpu", True)
    assert processor["seconds"] > 0
