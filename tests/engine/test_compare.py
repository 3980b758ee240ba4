"""Compare methods: what runs, on what, with which options; how results are judged, ranked and reported."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from matplotlib.image import imread

from makers import FINE, Outcome, Said, read_raster, run_method, write_raster
from measured import assess
from stfusion import alone, job, registry
from stfusion.assessment import _compare, _judge, _plan, _thinned
from stfusion.assessment._measure import Terms
from stfusion.assessment._metrics import METRICS
from stfusion.assessment._report import verdict
from stfusion.errors import UserError
from stfusion.job import Input, Job
from stfusion.networks._shared import shipped
from stfusion.raster.source import AlignedSource, Source
from stfusion.run import Context, Stop

RATIO = 8
COARSE = FINE @ Affine.scale(RATIO)
BASELINES = ["copy_fine", "fine_plus_difference", "upsampled_coarse"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two pairs and a target date between them, nearer to the second; classes change, and there are gaps."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 3, (12, 12)).repeat(4, 0).repeat(4, 1)
    paths = {}
    for role, day, growth in (("fine", "20210401", 0.0), ("reference", "20210601", 0.08), ("fine2", "20210611", 0.1)):
        levels = np.array([[0.05, 0.1, 0.2], [0.1, 0.3, 0.4]]) + growth * np.array([[1, 0, 0], [-1, 1, 0]])
        image = (levels[:, classes] + rng.normal(0, 0.01, (2, 48, 48))).astype(np.float32)
        coarse = {"fine": "coarse", "reference": "target", "fine2": "coarse2"}[role]
        means = image.reshape(2, 6, RATIO, 6, RATIO).mean((2, 4))
        paths[coarse] = write_raster(folder / f"coarse_{day}.tif", means, COARSE)
        image[:, 3:5, 40 if role == "reference" else 7] = np.nan
        paths[role] = write_raster(folder / f"fine_{day}.tif", image)
    return paths


@pytest.fixture
def one_pair(scene: dict[str, str]) -> dict[str, str]:
    return {role: path for role, path in scene.items() if not role.endswith("2")}


def compare(folder: Path, stop: Stop | None = None, settings: dict[str, Any] | None = None, **values: Any) -> Outcome:
    return run_method("compare", stop, settings, output=str(folder / "report"), **values)


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, scene: dict[str, str]) -> SimpleNamespace:
    """The baselines and STARFM, on one pair, with all that they leave."""
    folder = tmp_path_factory.mktemp("compared")
    outcome = compare(
        folder, methods=",".join(["starfm", *BASELINES]), options="starfm.window=17", keep=True, unit=2.0,
        **{role: path for role, path in scene.items() if not role.endswith("2")},
    )
    assert outcome.code == 0, outcome.said.lines
    return SimpleNamespace(folder=folder, outcome=outcome, results=results(folder), report=folder / "report")


def test_methods_are_judged_on_the_same_pixels_as_their_definitions_say(
    compared: SimpleNamespace, scene: dict[str, str]
) -> None:
    truth = read_raster(scene["reference"])
    images = {name: read_raster(compared.report / "fused" / f"{name}.tif") for name in ("starfm", *BASELINES)}
    valid = np.logical_and.reduce([np.isfinite(image).all(0) for image in (truth, *images.values())])
    assert 0.9 < valid.mean() < 1
    for name, image in images.items():
        expected = assess(np.where(valid, image, np.nan), truth, Terms(ratio=RATIO, unit=2.0))
        found = compared.results["methods"][name]
        for metric in METRICS:
            assert found[metric]["mean"] == pytest.approx(expected[metric].mean, rel=1e-9, abs=1e-12), (name, metric)
            assert found[metric]["bands"] == pytest.approx(list(expected[metric].bands), rel=1e-9, abs=1e-12)
        assert found["valid"] == pytest.approx(valid.mean())
        own = np.isfinite(image).all(0) & np.isfinite(truth).all(0)
        assert found["covered"] == pytest.approx(own.sum() / np.isfinite(truth).all(0).sum())
        assert found["baseline"] == (name in BASELINES)


def test_every_method_is_run_as_it_would_be_alone(
    compared: SimpleNamespace, one_pair: dict[str, str], tmp_path: Path
) -> None:
    del one_pair["reference"]
    run_method("starfm", output=str(tmp_path / "alone.tif"), window=17, unit=2.0, **one_pair)
    kept = read_raster(compared.report / "fused" / "starfm.tif")
    np.testing.assert_array_equal(kept, read_raster(tmp_path / "alone.tif"))


def test_ranking_is_by_error_and_costs_are_measured(compared: SimpleNamespace) -> None:
    methods = compared.results["methods"]
    errors = [found["rmse"]["mean"] for found in methods.values()]
    assert errors == sorted(errors)
    assert [found["rank"] for found in methods.values()] == [1, 2, 3, 4]
    for found in methods.values():
        assert found["cpu_seconds"] > 0.1
        assert found["wall_seconds"] > 0.1
        # An engine with its packages, and not the memory of the tests, which drew pictures before.
        assert 50 < found["peak_memory_mb"] < 500
    said = [line for line in compared.outcome.said.of("log") if line[:2] in ("1.", "2.", "3.", "4.")]
    assert [line.split(". ")[1].split(": RMSE")[0] for line in said] == [f["title"] for f in methods.values()]


def test_the_verdict_names_the_methods_that_beat_all_baselines() -> None:
    def summary(**errors: float | None) -> dict[str, Any]:
        methods = {name: {"title": name, "baseline": name.startswith("b"), "rmse": {"mean": error}}
                   for name, error in errors.items()}
        return {"methods": methods}

    assert verdict(summary(x=1.0, y=2.5, b1=2.0, b2=3.0, z=None)) == (
        "A smaller RMSE than every baseline (1 of 2 methods): x."
    )
    assert verdict(summary(x=2.0, b1=2.0)) == "No method has a smaller RMSE than the best baseline."
    assert verdict(summary(x=2.0)) == verdict(summary(b1=2.0)) == ""


def test_result_names_the_folder_the_report_and_the_date(compared: SimpleNamespace) -> None:
    (outputs,) = compared.outcome.said.of("result")
    assert outputs == {
        "output": str(compared.report), "report": str(compared.report / "report.html"), "date": "2021-06-01"
    }
    assert sorted(p.name for p in compared.report.iterdir()) == ["fused", "report.html", "results.csv", "results.json"]
    assert [p.name for p in compared.folder.iterdir()] == ["report"]


def test_progress_goes_on_from_the_first_method_to_the_report(compared: SimpleNamespace) -> None:
    values = compared.outcome.said.of("progress")
    assert values == sorted(values)
    assert values[-1] == 100
    # Every method has its equal share.
    for begin in (1, 22, 43, 64, 85):
        assert any(begin <= value < begin + 21 for value in values)
    stages = [(f["name"], f["index"], f["count"]) for kind, f in compared.outcome.said.lines if kind == "stage"]
    assert [index for _, index, _ in stages] == list(range(1, 8))
    assert {count for _, _, count in stages} == {7}
    assert stages[1][0] == "STARFM"


def test_settings_say_what_ran(compared: SimpleNamespace, one_pair: dict[str, str]) -> None:
    found = compared.results
    assert found["methods"]["starfm"]["options"]["window"] == 17
    assert found["methods"]["starfm"]["options"]["unit"] == 2
    assert {role: image["path"] for role, image in found["inputs"].items()} == one_pair
    assert found["inputs"]["reference"]["date"] == "2021-06-01"
    assert (found["date"], found["ratio"], found["shape"], found["bands"]) == (
        "2021-06-01", pytest.approx(RATIO), [48, 48], ["Band 1", "Band 2"]
    )
    assert "numpy" in found["settings"]["Python and packages"]


def test_the_table_has_a_line_for_every_band(compared: SimpleNamespace) -> None:
    with (compared.report / "results.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [(line["method"], line["band"]) for line in lines] == [
        (name, band) for name in compared.results["methods"] for band in ("mean", "Band 1", "Band 2")
    ]
    first = next(iter(compared.results["methods"].values()))
    assert float(lines[0]["rmse"]) == first["rmse"]["mean"]
    assert float(lines[2]["uiqi"]) == first["uiqi"]["bands"][1]
    assert float(lines[0]["cpu_seconds"]) == first["cpu_seconds"]
    assert lines[1]["sam"] == ""


def test_the_report_is_one_file_that_needs_nothing_else(compared: SimpleNamespace) -> None:
    text = (compared.report / "report.html").read_text(encoding="utf-8")
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>"))
    assert not {element.tag for element in root.iter()} & {"script", "link", "iframe", "object", "base"}
    for element in root.iter():
        assert not set(element.keys()) & {"href", "srcset", "style"}
        source = element.get("src")
        assert source is None or source.startswith("data:image/png;base64,")
    assert "url(" not in text
    assert "@import" not in text


def test_the_report_shows_the_ranking_with_baselines_and_best_values_marked(compared: SimpleNamespace) -> None:
    root = ET.fromstring((compared.report / "report.html").read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>"))
    table = next(element for element in root.iter("table") if element.get("class") == "ranking")
    head, *rows = table.iter("tr")
    heads = [cell.text for cell in head]
    assert heads[:3] == ["Rank", "Method", "RMSE"]
    assert {"MAE", "r", "SSIM", "SAM (°)", "ERGAS", "UIQI", "Edge", "Local variance"} <= set(heads)
    assert {"CPU s", "Time s", "Memory MB"} <= set(heads)
    methods = compared.results["methods"].values()
    assert [row[1].text for row in rows] == [found["title"] for found in methods]
    assert [row.get("class") == "baseline" for row in rows] == [found["baseline"] for found in methods]
    for name, metric in METRICS.items():
        column = heads.index(metric.title)
        values = [found[name]["mean"] for found in methods]
        key = {"low": lambda v: v, "high": lambda v: -v, "zero": abs}[metric.best]
        best = [row[column].get("class") == "best" for row in rows]
        assert best == [value == min(values, key=key) for value in values], name


def test_the_pictures_show_every_method(compared: SimpleNamespace) -> None:
    root = ET.fromstring((compared.report / "report.html").read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>"))
    pictures = {image.get("alt"): image.get("src", "") for image in root.iter("img")}
    titles = [found["title"] for found in compared.results["methods"].values()]
    shown = [f"{what} {title}" for title in titles
             for what in ("Prediction and error of", "Predicted over true values of")]
    assert set(pictures) == {"The input images and the true image", *shown}
    for source in pictures.values():
        pixels = imread(BytesIO(b64decode(source.partition("base64,")[2])))
        assert len(np.unique(pixels[..., :3] @ (1, 256, 65536))) > 100


def opened(paths: dict[str, str]) -> dict[str, AlignedSource]:
    """Images of one grid."""
    sources = {name: Source(name, Input(path)) for name, path in paths.items()}
    return {name: AlignedSource(source, source.grid, "nearest") for name, source in sources.items()}


def quiet(threads: int = 1) -> Context:
    return Context(Job("compare", "compare", {}, threads=threads), Said())


def test_judgement_does_not_depend_on_the_tiles(scene: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = opened({name: scene[name] for name in ("fine", "fine2")})
    (truth,) = opened({"truth": scene["reference"]}).values()
    found = []
    for tile, threads in (((48, 48), 1), ((7, 11), 3), ((1, 48), 2)):
        monkeypatch.setattr(_judge, "tile_of", lambda *_, tile=tile: tile)
        context = quiet(threads)
        facts = _judge.survey(context, truth, predictions, {}, (0, 1)).facts
        found.append(_judge.judge(context, truth, predictions, facts, Terms(ratio=RATIO), (1, 2)))
    whole, *others = found
    for parts in others:
        for name, expected in whole.items():
            for metric in METRICS:
                ours = parts[name][metric]
                np.testing.assert_allclose(ours.bands, expected[metric].bands, rtol=1e-9, atol=1e-12)
                np.testing.assert_allclose(ours.mean, expected[metric].mean, rtol=1e-9, atol=1e-12)


def test_thinned_images_are_a_lattice_of_the_pixels(scene: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thinned, "MOST", 16)
    monkeypatch.setattr(_judge, "tile_of", lambda *_: (7, 11))
    images = opened({name: scene[name] for name in ("reference", "fine")})
    seen = _judge.survey(quiet(), images["reference"], {"m": images["fine"]}, {"in": images["reference"]}, (0, 1))
    expected = read_raster(scene["reference"])
    np.testing.assert_array_equal(seen.thinned[_judge.TRUTH], expected[:, ::3, ::3])
    np.testing.assert_array_equal(seen.thinned["in"], expected[:, ::3, ::3])
    np.testing.assert_array_equal(seen.thinned["m"], read_raster(scene["fine"])[:, ::3, ::3])
    assert seen.facts.count == 48 * 48 - 4
    assert seen.covered == {"m": (48 * 48 - 4) / (48 * 48 - 2)}


def test_all_methods_run_unless_some_are_named() -> None:
    fuse = [m for m in registry.methods().values() if m.operation == "fuse" and (m.needs == "base" or shipped(m.id))]
    assert _plan.choose("") == fuse
    assert [m.id for m in _plan.choose(" stf:starfm, copy_fine,starfm")] == ["starfm", "copy_fine"]


def test_networks_take_part_where_they_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come with weights, where torch is installed."""
    monkeypatch.setattr(_plan, "shipped", lambda name: Path("weights") if name == "stfnet" else None)
    assert [m.id for m in _plan.candidates().values() if m.needs == "networks"] == ["stfnet"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert all(m.needs == "base" for m in _plan.candidates().values())


def context_of(inputs: dict[str, str], said: Said, **options: Any) -> Context:
    order = job.parse(job.build(registry.methods()["compare"], {**inputs, **options, "output": "o"}))
    return Context(order, said)


def test_methods_for_two_pairs_are_left_out_when_one_is_given(
    scene: dict[str, str], one_pair: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.methods()
    roles = tuple(replace(role, required=True) for role in known["starfm"].roles)
    two = replace(known["starfm"], id="two", title="Two pairs", roles=roles)
    monkeypatch.setattr(_plan, "candidates", lambda: {"copy_fine": known["copy_fine"], "two": two})
    said = Said()
    chosen, left_out = _plan.select(context_of(one_pair, said))
    assert [method.id for method in chosen] == ["copy_fine"]
    reason = "it needs 'Fine image of the second pair', which was not given."
    assert left_out == {"two": {"title": "Two pairs", "reason": reason}}
    assert said.of("log") == [f"Two pairs is left out: {reason}"]
    chosen, left_out = _plan.select(context_of(scene, said))
    assert ([method.id for method in chosen], left_out) == (["copy_fine", "two"], {})
    with pytest.raises(UserError, match="No method is left to compare; Two pairs is left out: it needs"):
        _plan.select(context_of(one_pair, said, methods="two"))


def test_a_method_for_one_pair_gets_the_nearer_one(scene: dict[str, str], tmp_path: Path) -> None:
    outcome = compare(tmp_path, methods="copy_fine,starfm", options="window=17", keep=True, **scene)
    assert outcome.code == 0, outcome.said.lines
    copied = read_raster(tmp_path / "report" / "fused" / "copy_fine.tif")
    np.testing.assert_array_equal(copied, read_raster(scene["fine2"]))
    found = results(tmp_path)["methods"]
    assert found["copy_fine"]["pairs"] == "pair 2, the one nearer to the target date"
    assert found["starfm"]["pairs"] == "both pairs"


def test_the_reference_reaches_no_method() -> None:
    for method in _plan.choose(""):
        assert "reference" not in {role.id for role in method.roles}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("window=31", {"window": 31}),
        ("starfm.window = 31 , starfm.logarithmic=True,", {"window": 31, "logarithmic": True}),
        ("starfm.joint_bands=3,4, window=9, filter=either", {"joint_bands": "3,4", "window": 9, "filter": "either"}),
        ("fine_uncertainty=0.01, window=x", {"fine_uncertainty": 0.01, "window": "x"}),
    ],
)
def test_options_of_the_methods_are_read(text: str, expected: dict[str, Any]) -> None:
    found = _plan.read_settings(text, _plan.choose("starfm,copy_fine"))
    assert found == {"starfm": expected, "copy_fine": {}}


def test_an_option_goes_to_every_method_that_has_it() -> None:
    found = _plan.read_settings("resampling=nearest, window=9", _plan.choose("starfm,copy_fine"))
    assert found == {"starfm": {"resampling": "nearest", "window": 9}, "copy_fine": {"resampling": "nearest"}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"methods": "starfm,stargate"}, "names 'stargate', which is unknown; choose from: .*starfm"),
        ({"options": "logarithmic"}, "has 'logarithmic'; write option=value or method.option=value"),
        ({"options": "starfm.colour=red"}, "names 'colour', which is unknown; choose from: window, classes"),
        ({"methods": "starfm", "options": "fsdaf.window=3"}, "names 'fsdaf', which is not compared"),
        ({"options": "starfm.window=50"}, "even number; take 51"),
        ({"reference": "/nowhere/truth.tif"}, "True fine image of the target date '/nowhere/truth.tif' does not exist"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    one_pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], words: str
) -> None:
    monkeypatch.setattr(_compare, "run_alone", lambda *_: pytest.fail("a method ran"))
    outcome = compare(tmp_path, **{**one_pair, "methods": "starfm,copy_fine", **values})
    assert outcome.code == 2
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(outcome.error)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(one_pair: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "letter.txt").write_text("dear")
    outcome = compare(tmp_path, methods="copy_fine", **one_pair)
    assert (outcome.code, "not an empty folder" in outcome.error) == (2, True)
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "letter.txt"]


def test_a_method_that_fails_does_not_stop_the_others(one_pair: dict[str, str], tmp_path: Path) -> None:
    """A window larger than the image is refused by STARFM itself."""
    outcome = compare(tmp_path, methods="starfm,copy_fine", options="starfm.window=301", **one_pair)
    assert outcome.code == 0, outcome.said.lines
    found = results(tmp_path)
    assert list(found["methods"]) == ["copy_fine"]
    assert "window of 301" in found["failed"]["starfm"]["reason"]
    assert any(text.startswith("STARFM failed: The window of 301") for text in outcome.said.of("warning"))
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Methods that failed" in text
    assert "window of 301" in text
    assert not (tmp_path / "report" / "fused").exists()


def test_it_is_an_error_when_all_fail(one_pair: dict[str, str], tmp_path: Path) -> None:
    outcome = compare(tmp_path, methods="starfm", options="window=301", **one_pair)
    assert outcome.code == 2
    assert outcome.error.startswith("No method gave a result to compare; STARFM failed: The window of 301")
    assert not list(tmp_path.iterdir())


def test_a_result_without_a_pixel_in_common_does_not_spoil_the_others(
    scene: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = read_raster(scene["reference"])
    empty = write_raster(tmp_path / "empty.tif", np.where(np.isnan(truth), truth, np.nan).astype(np.float32))
    full = write_raster(tmp_path / "full.tif", truth)

    def fake(order: Any, stop: Stop, hear: Any) -> alone.Outcome:
        Path(order.outputs["output"]).symlink_to(empty if order.method == "starfm" else full)
        return alone.Outcome(done=True)

    monkeypatch.setattr(_compare, "run_alone", fake)
    given = {role: scene[role] for role in ("fine", "coarse", "target", "reference")}
    assert compare(tmp_path, methods="starfm,copy_fine", **given).code == 0
    found = results(tmp_path)
    assert found["failed"]["starfm"]["reason"] == "Its result has no valid pixel where the true image has one."
    assert found["methods"]["copy_fine"]["rmse"]["mean"] == 0


def test_a_warning_is_said_once_and_kept_for_every_method(
    one_pair: dict[str, str], tmp_path: Path
) -> None:
    truth = read_raster(one_pair["target"]) * 10000
    one_pair["target"] = write_raster(tmp_path / "scaled.tif", truth, COARSE)
    outcome = compare(tmp_path, methods="copy_fine,fine_plus_difference", **one_pair)
    warnings = [text for text in outcome.said.of("warning") if "their scales seem to differ" in text]
    assert len(warnings) == 2, "once by the comparison, once by the first method"
    for found in results(tmp_path)["methods"].values():
        assert any("their scales seem to differ" in note for note in found["notes"])


def test_an_unknown_ratio_is_said_and_not_guessed(scene: dict[str, str], tmp_path: Path) -> None:
    fine = {role: scene["fine"] for role in ("fine", "coarse")}
    given = {**fine, "target": scene["reference"], "reference": scene["reference"]}
    given["methods"] = "copy_fine,upsampled_coarse"
    assert compare(tmp_path / "a", **given).code == 0
    found = results(tmp_path / "a")["methods"]["copy_fine"]
    assert found["ergas"]["mean"] is None
    assert found["reasons"] == ["ERGAS is unknown: the ratio of the pixel sizes is not known."]
    page = (tmp_path / "a" / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("ERGAS is unknown") == page.count("All methods: ERGAS is unknown") == 1
    assert compare(tmp_path / "b", ratio=16, **given).code == 0
    assert results(tmp_path / "b")["methods"]["copy_fine"]["ergas"]["mean"] > 0


def test_docs_name_every_metric() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods" / "compare.md").read_text(encoding="utf-8")
    for metric in METRICS.values():
        assert f"| {metric.title.removesuffix(' (°)')} |" in page
