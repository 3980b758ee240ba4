"""Benchmarks and results: the same cases for the same seed, peers that are absent, tables that say what was found."""

import hashlib
import os
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import rasterio

from stfusion import registry
from stfusion.device import Device

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
bench, card, cases, classification, growth, measure, page, pansharpening, peers, results, scenes, sharpened = (
    import_module(name)
    for name in (
        "bench", "card", "cases", "classification", "growth", "measure", "page", "pansharpening", "peers", "results",
        "scenes", "sharpened",
    )
)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return cases.case(64, tmp_path_factory.mktemp("cases"))


def test_a_seed_gives_the_same_case_and_another_seed_another_one(case, tmp_path):
    again, other = cases.case(64, tmp_path), cases.case(64, tmp_path, seed=43)
    assert digests(case) == digests(again)
    assert len(digests(case)) == 6
    assert not set(digests(case).values()) & set(digests(other).values())


def test_a_case_is_made_once(case, monkeypatch):
    monkeypatch.setattr(cases, "engine", lambda *words: pytest.fail("made again"))
    assert cases.case(64, case.parent) == case


def test_a_case_has_all_that_methods_of_one_and_of_two_pairs_need(case):
    starfm = registry.methods()["starfm"]
    assert [str(word) for word in cases.inputs(starfm, case)][::2] == ["--fine", "--coarse", "--target"]
    files = cases.inputs(starfm, case, pairs=2)[1::2]
    assert len(files) == 5
    assert all(path.is_file() for path in (*files, case / cases.TRUTH))
    with rasterio.open(case / "fine_1.tif") as fine, rasterio.open(case / "coarse_1.tif") as coarse:
        assert (fine.count, fine.shape, coarse.shape) == (6, (64, 64), (4, 4))


def test_coarse_images_on_the_fine_grid_are_replicated(case):
    folder = cases.on_fine_grid(case)
    with rasterio.open(folder / "coarse_2.tif") as replicated, rasterio.open(case / "coarse_2.tif") as coarse:
        np.testing.assert_array_equal(replicated.read(), np.kron(coarse.read(), np.ones((1, 16, 16))))
        assert replicated.dtypes[0] == "float32"


def test_error_is_the_mean_of_the_bands_in_reflectance(case, tmp_path):
    with rasterio.open(case / cases.TRUTH) as truth:
        values, profile = truth.read().astype(np.float32), truth.profile
    values[0] += 60
    values[1] -= 120
    with rasterio.open(tmp_path / "guess.tif", "w", **{**profile, "dtype": "float32", "predictor": 1}) as sink:
        sink.write(values)
    assert cases.error(tmp_path / "guess.tif", case) == pytest.approx((0.006 + 0.012) / 6)


def test_the_cost_of_a_program_is_its_own():
    busy = "import time\nheld = bytearray(200 << 20)\nend = time.process_time() + 0.3\n" \
           "while time.process_time() < end: pass"
    cost, _, _ = measure.program([sys.executable, "-S", "-c", busy], os.environ)
    assert 0.3 <= cost.cpu_s < 3
    assert 200 < cost.peak_mb < 300
    light, _, _ = measure.program([sys.executable, "-S", "-c", ""], os.environ)
    assert light.peak_mb < 60
    assert light.cpu_s < cost.cpu_s


def test_a_program_that_fails_is_said_with_its_last_line():
    with pytest.raises(measure.FailedError, match=r"^ValueError: no such thing$"):
        measure.program([sys.executable, "-c", "raise ValueError('no such thing')"], os.environ)


def test_the_engine_tells_its_tiles_and_the_seconds_of_fusing(case, tmp_path):
    starfm = registry.methods()["starfm"]
    command = ("fuse", "starfm", *cases.inputs(starfm, case), "--window", 5, "--out", tmp_path / "f.tif")
    cost = measure.engine(*command, largest_tile=32)
    assert cost.pixel_bytes > 6 * 4
    assert 32 * 16 <= cost.tile_pixels <= (32 + 4) ** 2
    assert cost.fusing_mb > 0
    assert 0 < measure.engine(*command).fusing_s < cost.wall_s


def test_every_peer_belongs_to_a_method_and_an_absent_one_takes_one_line(monkeypatch):
    monkeypatch.setattr(bench, "case", lambda size: Path("nowhere"))
    absent = replace(peers.PEERS[0], programs=("no-such-program",))
    monkeypatch.setattr(bench, "PEERS", (absent,))
    (name, row), = bench.measure_peers(list(registry.methods().values()), sys.executable, 1)
    assert row["failed"].startswith("no-such-program is not on the path")
    text = page._peers([row])
    assert f"absent: {row['failed']}" in text
    assert absent.name in name


#: What stands in for Orfeo ToolBox: it counts the pairs of the two maps, and writes them as that program does.
COUNTS = """
import sys, numpy, rasterio
mapped, reference = (rasterio.open(path).read(1).astype(int) for path in sys.argv[2:4])
counts = numpy.bincount((reference * 10 + mapped).ravel(), minlength=100).reshape(10, 10)[1:, 1:]
kept = counts.any(axis=1)
with open(sys.argv[4], "w") as sink:
    print("#Reference labels (rows):", file=sink)
    for row in counts[kept][:, kept] + int(sys.argv[1]):
        print(",".join(map(str, row)), file=sink)
"""


def stand_in(added):
    return replace(
        classification.TASKS[1], needs="sh", theirs=lambda case, output: (
            sys.executable, "-c", COUNTS, added, case / "map.tif", case / "reference.tif", output
        ),
    )


def test_a_matrix_is_counted_beside_another_program_and_has_to_be_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "LARGE", 256)
    rows = [row for _, row in classification.measure(tmp_path, 1, [stand_in(0), stand_in(1)])]
    assert rows[0]["ours"]["cpu_s"] > 0
    assert rows[0]["cpu_ratio"] > 0
    assert rows[1]["failed"] == "the two results differ"
    lines = page._classification(rows).splitlines()
    assert lines[2].startswith("| Assess classification: two rasters of bytes | Orfeo ToolBox")
    assert "absent: the two results differ" in lines[3]
    assert len({line.count("|") for line in lines if line}) == 1


def test_kmeans_is_timed_beside_a_script_and_has_to_be_as_compact(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "LARGE", 256)
    worse = replace(classification.TASKS[0], ours=lambda case, output: (
        *(2 if word == classification.CLASSES else word for word in classification.TASKS[0].ours(case, output)),
    ))
    rows = [row for _, row in classification.measure(tmp_path, 1, [classification.TASKS[0], worse])]
    assert rows[0]["whole_ratio"] > 0
    assert rows[1]["failed"] == "the two results differ"
    assert "K-means classification: six bands, 9 classes" in page._classification(rows)


def test_an_assessment_is_timed_beside_reading_and_has_to_find_the_same_bias(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "LARGE", 256)
    assessment = classification.TASKS[2]
    other = replace(assessment, theirs=lambda case, output: (
        sys.executable, classification.peer_read.__file__, case / "reference.tif", case / "reference.tif", output,
    ))
    rows = [row for _, row in classification.measure(tmp_path, 1, [assessment, other, classification.TASKS[0]])]
    assert rows[0]["wall_ratio"] > 0
    assert rows[2]["wall_ratio"] > 0
    assert rows[1]["failed"] == "the two results differ"


#: Stands in for a program that sharpens: the mean of a block of the panchromatic image, in every band.
FLAT = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as source:
    pan, profile = source.read(1), source.profile
with rasterio.open(sys.argv[2], "w", **profile | {"count": 4}) as sink:
    for band in range(4):
        sink.write(pan * 0 + int(pan.mean()), band + 1)
"""


def test_sharpening_is_timed_beside_another_program_and_has_to_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "LARGE", 128)
    flat = replace(pansharpening.TASKS[2], needs="sh", theirs=lambda case, output: (
        sys.executable, "-c", FLAT, case / "pan.tif", output,
    ))
    rows = [row for _, row in classification.measure(
        tmp_path, 1, [flat, replace(flat, same=lambda *images: not pansharpening.agree(*images))]
    )]
    assert rows[0]["failed"] == "the two results differ"
    assert rows[1]["whole_ratio"] > 0
    assert "RCS: four bands" in page._classification(rows)


def test_scenes_to_sharpen_are_always_the_same_and_their_images_go_together(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        pansharpening.images(600 // 8 * 8, tmp_path / folder)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    one, two = (tmp_path / folder / "ms.tif" for folder in ("one", "two"))
    assert pansharpening.agree(tmp_path, one, two)
    with rasterio.open(two, "r+") as bands:
        bands.write(bands.read(1) + 1, 1)
        assert pansharpening.agree(tmp_path, one, two)
        bands.write(bands.read(1) + 1, 1)
    assert not pansharpening.agree(tmp_path, one, two)
    with rasterio.open(tmp_path / "one" / "pan.tif") as pan, rasterio.open(tmp_path / "one" / "ms.tif") as bands:
        means = pan.read(1).reshape(150, 4, 150, 4).mean((1, 3))
        mixed = np.tensordot(pansharpening.WEIGHTS, bands.read().astype(float), 1)
    assert np.abs(means - mixed).max() < 1


def test_a_program_that_is_absent_is_said(tmp_path):
    absent = replace(classification.TASKS[0], needs="no-such-program")
    (_, row), = classification.measure(tmp_path, 1, [absent])
    assert row["failed"].startswith("no-such-program is not on the path")


def test_without_a_card_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(card.device, "find", lambda wanted: Device("cpu", fault="it is too old"))
    assert not list(card.measure(tmp_path, list(registry.methods().values()), 10_000, 500))
    assert capsys.readouterr().out == (
        "There is no CUDA card here that computes, so that the part 'card' is left out: it is too old.\n"
    )


def test_a_card_is_set_beside_the_processor(case, tmp_path, monkeypatch):
    """With the processor in the place of the card, since that is what there is everywhere."""
    monkeypatch.setattr(card.device, "find", lambda wanted: Device("cuda:0 X", cuda=True))
    monkeypatch.setattr(card, "case", lambda size: case)
    methods = [registry.methods()[name] for name in ("starfm", "copy_fine")]
    rows = dict(card.measure(tmp_path, methods, 64, 64))
    assert [(row["method"], row["largest_difference"]) for row in rows.values()] == [("starfm", 0.0)]
    assert "| STARFM | 1 | 64² |" in page._card(list(rows.values()))


def test_windows_keep_to_the_unit_and_the_range_of_the_option():
    fine = next(option for option in registry.methods()["starfm"].options if option.id == "window")
    assert growth.windows(fine) == (17, 33, 51, 101)
    assert growth.windows(replace(fine, title="Window (coarse pixels)", minimum=5, maximum=7)) == (5, 7)


def test_kept_rows_are_replaced_one_by_one_and_dropped_when_the_engine_changes(tmp_path, monkeypatch):
    path = tmp_path / "bench.json"
    store = bench.Store(path)
    store.keep("methods", "a", {"cpu_s": 1.0})
    store.keep("methods", "b", {"cpu_s": 2.0})
    bench.Store(path).keep("methods", "a", {"cpu_s": 3.0})
    assert bench.Store(path).rows == {"methods": {"a": {"cpu_s": 3.0}, "b": {"cpu_s": 2.0}}}
    monkeypatch.setattr(bench, "fingerprint", lambda: "another engine")
    assert bench.Store(path).rows == {}


def found(errors, baselines=("copy",), failed=None):
    return {
        "methods": {
            name: {"title": name.upper(), "baseline": name in baselines, "cpu_seconds": 1.5,
                   "rmse": {"mean": value}, "ssim": {"mean": 0.5}}
            for name, value in errors.items()
        },
        "failed": {name: {"title": name.upper(), "reason": why} for name, why in (failed or {}).items()},
    }


def test_the_table_of_results_counts_wins_and_marks_the_best():
    places = {
        "salton": found({"a": 0.01, "b": 0.03, "copy": 0.02}),
        "itoiz_two_pairs": found({"b": 0.01, "copy": 0.02}, failed={"a": "no classes"}),
    }
    lines = results.table(["salton", "itoiz_two_pairs"], places).splitlines()
    assert lines[0] == "| Method | salton | itoiz | Beats all baselines | CPU s |"
    assert lines[2] == "| A | **0.0100** (0.500) | failed | 1 of 1 | 1.5 |"
    assert lines[3] == "| B | 0.0300 (0.500) | **0.0100** (0.500) | 1 of 2 | 3.0 |"
    assert lines[4] == "| COPY | 0.0200 (0.500) | 0.0200 (0.500) |  | 3.0 |"


def test_a_tie_with_a_baseline_is_no_win():
    assert not results.wins_over("a", found({"a": 0.02, "copy": 0.02}))


def test_a_scene_is_compared_once_and_again_when_the_engine_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "WORK", tmp_path)
    monkeypatch.setattr(results, "prepare", lambda name, work: None)
    monkeypatch.setattr(results, "_order", lambda *given: {"outputs": {"output": str(given[2])}})
    runs = []

    def run(name, order):
        runs.append(name)
        return found({"starfm": 0.01, "copy": 0.02})

    monkeypatch.setattr(results, "_run", run)
    scene = scenes.SCENES["simulated"]
    first = results.compare("simulated", scene)
    assert list(first["methods"]) == ["starfm", "copy", *results.VARIANTS]
    count = len(runs)
    assert results.compare("simulated", scene) == first
    assert len(runs) == count
    monkeypatch.setattr(results, "fingerprint", lambda: "another engine")
    results.compare("simulated", scene)
    assert len(runs) == 2 * count


def test_every_place_but_the_one_with_two_dates_is_there_with_one_pair_and_with_two():
    places = {}
    for name, scene in scenes.SCENES.items():
        places.setdefault(results._place(name), set()).add(len(scene.fine))
    assert places.pop("corumba") == {1}
    assert set(map(frozenset, places.values())) == {frozenset({1, 2})}
    assert set(places) == {"simulated", "salton", "boreas", "itoiz", "bouconne", "bahia"}


def test_settings_of_the_comparison_follow_the_scene(tmp_path):
    scene = replace(scenes.SCENES["simulated"], ratio=7)
    roles = ("fine", "coarse", "target")
    files = scenes.Files({role: tmp_path / f"{role}.tif" for role in roles}, tmp_path / "truth.tif")
    order = results._order(scene, files, tmp_path / "report", "starfm", "starfm.logarithmic=true")
    assert order["options"] == {
        "unit": 10_000.0, "ratio": 7, "methods": "starfm", "options": "starfm.logarithmic=true"
    }
    assert order["inputs"] == {
        role: {"path": str(tmp_path / f"{role}.tif")} for role in roles
    } | {"reference": {"path": str(tmp_path / "truth.tif")}}


def test_every_method_of_pansharpening_is_run_under_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(pansharpening, "TASKS", ())
    wanted = [method.title for method in registry.methods().values() if method.group == "Pansharpening"]

    def engine(*words):
        (tmp_path / "sharpened.tif").touch()
        return measure.Cost(1.0, 0.5, 2000.0 if words[1] == "pracs" else 200.0)

    monkeypatch.setattr(pansharpening, "engine", engine)
    rows = dict(pansharpening.measure(tmp_path, 1024, 1, 64))
    text = "".join(page._sharpening(list(rows.values())))
    assert text.count("| 64² | 200 | 0.5 | 1.0 |") == len(wanted) - 1
    assert "| 64² | 2000 (above) | 0.5 | 1.0 |" in text
    with rasterio.open(tmp_path / "classification" / "images" / "64" / "pan.tif") as pan:
        assert pan.shape == (64, 64)


def test_results_of_sharpening_are_ranked_by_their_error():
    scores = {"sam": 1.0, "q2n": 0.9, "scc": 0.8}
    text = sharpened.table({
        "Bicubic interpolation": scores | {"ergas": 4.0, "seen": 3.0}, "Good": scores | {"ergas": 3.0, "seen": 2.0},
    })
    assert text.index("| Good | **3.000** | -25.0% |") < text.index("| Bicubic interpolation | 4.000 | +0.0% |")


@pytest.fixture(scope="module")
def costs():
    """The command that measures what networks cost, whose name the tests have for something else."""
    spec = spec_from_file_location("costs_of_networks", ROOT / "benchmarks" / "networks.py")
    sys.modules[spec.name] = found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_costs_of_networks_are_a_table_for_each_page(costs):
    known = [method.id for method in registry.methods().values() if method.operation in ("fuse", "pansharpen")]
    listed = [name for _, names in costs.PAGES.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for name in known if registry.methods()[name].needs == "networks"} - {"fuse_trained"}
    for name, parameters, head in (
        ("stfnet", "92,716 | 2", "Network | Parameters | Pairs"), ("dicnn", "42,180", "Network | Parameters"),
        ("zpnn", "61,124", "Network | Parameters"),
    ):
        found = costs.measure(name)
        assert found.cpu_s > 0
        lines = costs.table({name: found}).splitlines()
        assert lines[0] == f"| {head} | Processor seconds | Memory |"
        assert f"(methods/{name}.md) | {parameters} | {found.cpu_s:.2f} |" in lines[2]
        page = next(page for page, names in costs.PAGES.values() if name in names)
        assert f"(methods/{name}.md) | {parameters} |" in page.read_text(encoding="utf-8")
