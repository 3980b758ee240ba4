"""job.json, the only way in: the examples that both sides keep to, and the faults that get one clear sentence."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from stfusion import job, registry
from stfusion.errors import UserError
from stfusion.job import Input

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests/contract/jobs"


FORMS = json.loads((ROOT / "tests/contract/forms.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["what"])
def test_values_make_the_golden_job(form: dict[str, Any]) -> None:
    """The plugin's tests hold its own job builder against the same file."""
    plain = job.build(registry.methods()[form["method"]], form["values"], **form["settings"])
    assert plain == form["job"]
    assert job.parse(plain).method == form["method"]


def test_one_pair() -> None:
    """Relative paths are relative to the job's folder, and options that are not given have their defaults."""
    order = job.load(EXAMPLES / "one_pair.json")
    assert order.inputs == {
        "fine": Input(str(EXAMPLES / "fine_20200101.tif")),
        "coarse": Input(str(EXAMPLES / "coarse_20200101.tif")),
        "target": Input(str(EXAMPLES / "coarse_20200117.tif")),
    }
    assert order.outputs == {"output": str(EXAMPLES / "fused_20200117.tif")}
    assert order.options == {option.id: option.default for option in order.declaration.options}
    assert (order.seed, order.device, order.memory_mb, order.threads) == (0, "auto", 2048, 0)


def test_two_pairs() -> None:
    """Absolute paths, URLs and GDAL's virtual paths stay as they are; every entry is taken over."""
    plain = json.loads((EXAMPLES / "two_pairs.json").read_text(encoding="utf-8"))
    order = job.load(EXAMPLES / "two_pairs.json")
    assert order.inputs["fine"] == Input(
        "/data/fine_1.tif", (4, 3, 2), "2020-01-01", -9999.0, "/data/fine_1_clouds.tif"
    )
    assert order.inputs["target"].path == "https://example.org/coarse_2.tif"
    assert order.inputs["fine2"].path == "/vsizip/data.zip/fine_3.tif"
    assert plain["options"].items() <= order.options.items()  # an option that came later has its default
    assert (order.seed, order.device, order.memory_mb, order.threads) == (7, "cpu", 1024, 2)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_an_exported_job_is_the_same_job(example: Path, tmp_path: Path) -> None:
    order = job.load(example)
    copy = tmp_path / "job.json"
    copy.write_text(order.to_json(), encoding="utf-8")
    assert job.load(copy) == order


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"method": "stargate"}, "stargate"),
        ({"colour": "red"}, "colour"),
        ({"outputs": {}}, "Fused image"),
        ({"outputs": []}, "outputs"),
        ({"inputs": {"fine": {"path": "f.tif"}}}, "Coarse image of the pair"),
        ({"options": {"window": 50}}, "even number; take 51"),
        ({"options": {"window": 1001}}, "between 0 and 501"),
        ({"options": {"windows": 51}}, "windows"),
        ({"options": {"fine_uncertainty": float("nan")}}, "fine_uncertainty"),
        ({"seed": -1}, "seed"),
        ({"memory_mb": 16}, "at least 256"),
        ({"threads": 1.5}, "threads"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_a_wrong_entry_is_named(change: dict[str, Any], words: str) -> None:
    plain = json.loads((EXAMPLES / "one_pair.json").read_text(encoding="utf-8"))
    with pytest.raises(UserError, match=words) as caught:
        job.parse({**plain, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bands": [0]}, "from 1"),
        ({"bands": "1"}, "band numbers"),
        ({"bands": [True]}, "band numbers"),
        ({"date": "20200101T"}, "YYYY-MM-DD"),
        ({"nodata": "none"}, "give a number"),
        ({"clear": [0, 1]}, r"are \[0, 1\]; write whole numbers of at most 16777216, .* such as \"0,1\""),
        ({"sensor": "TM"}, "sensor"),
        ({"path": ""}, "Fine image of the pair"),
    ],
)
def test_a_wrong_entry_of_an_image_is_named(change: dict[str, Any], words: str) -> None:
    plain = json.loads((EXAMPLES / "one_pair.json").read_text(encoding="utf-8"))
    plain["inputs"]["fine"].update(change)
    with pytest.raises(UserError, match=words):
        job.parse(plain)


def test_a_second_pair_needs_both_images() -> None:
    plain = json.loads((EXAMPLES / "one_pair.json").read_text(encoding="utf-8"))
    plain["inputs"]["fine2"] = {"path": "fine_3.tif"}
    with pytest.raises(UserError, match="coarse2"):
        job.parse(plain)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("{", "not valid JSON"), ("[]", "not a JSON object"), ('{"schema": 1}', "it has:")],
)
def test_an_unusable_job_ends_with_one_sentence(engine: Any, tmp_path: Path, text: str | None, words: str) -> None:
    """Exit code 2, one line, no trace, and nothing but the protocol on standard output."""
    if text is not None:
        (tmp_path / "job.json").write_text(text, encoding="utf-8")
    done = engine("run", "job.json", "--json")
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    message = json.loads(line)
    assert (message["type"], message["code"]) == ("error", "user")
    assert words in message["message"]
    assert done.stderr == ""

    spoken = engine("run", "job.json")
    assert (spoken.returncode, spoken.stdout) == (2, "")
    assert spoken.stderr == f"Error: {message['message']}\n"


def test_the_command_line_writes_the_job_that_it_would_run(engine: Any, tmp_path: Path) -> None:
    done = engine(*shlex.split(
        "fuse starfm --fine f.tif --coarse c.tif --target t.tif --out p.tif --fine-bands 3,2 --window 31 "
        "--joint --pair-date 2020-01-01 --seed 5 --memory 512 --export-job job.json"
    ))
    assert done.returncode == 0, done.stderr
    order = job.load(tmp_path / "job.json")
    assert order.inputs["fine"] == Input(str(tmp_path / "f.tif"), (3, 2), "2020-01-01")
    assert order.inputs["coarse"] == Input(str(tmp_path / "c.tif"), None, "2020-01-01")
    assert (order.options["window"], order.options["joint"]) == (31, True)
    assert (order.seed, order.memory_mb) == (5, 512)
    assert order.outputs == {"output": str(tmp_path / "p.tif")}
    assert list(tmp_path.iterdir()) == [tmp_path / "job.json"]
