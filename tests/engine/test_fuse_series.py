"""Fuse a time series: its images, what describes them, how it goes on, what fails, and a real scene."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from in_process import InProcess
from makers import FINE, read_raster, run_method, write_raster
from real_data import real_scene
from series_scenes import SIDE, day, series, surface
from stfusion import job, registry
from stfusion.alone import Outcome, Worker
from stfusion.device import Device
from stfusion.job import Input
from stfusion.parts import Crew, checksum
from stfusion.raster.stack import dated
from stfusion.run import Context, Stop
from stfusion.series import _products


@pytest.fixture
def here(monkeypatch) -> InProcess:
    return InProcess(monkeypatch)


@pytest.fixture
def images(tmp_path):
    return series(tmp_path / "in", fine=[0, 8], coarse=range(0, 10, 2))


def fused(tmp_path: Path, images, stop: Stop | None = None, settings=None, **values):
    given = {"method": "fine_plus_difference", "processes": 1, **images, **values}
    return run_method("fuse_series", stop=stop, settings=settings, output=str(tmp_path / "out"), **given)


def file_of(tmp_path: Path, number: int) -> Path:
    return tmp_path / "out" / f"fused_{day(number):%Y%m%d}.tif"


def manifest(tmp_path: Path):
    return json.loads((tmp_path / "out" / "manifest.json").read_text())


def states(tmp_path: Path) -> dict[str, str]:
    return {found["date"][5:]: found["state"] for found in manifest(tmp_path)["dates"]}


def unfinished(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "out").rglob("*.part"))


def test_every_date_is_what_a_single_fusion_gives(tmp_path, images, here):
    done = fused(tmp_path, images)
    assert done.code == 0, done.said.lines
    (result,) = done.said.of("result")
    assert {key: result[key] for key in ("fused", "kept", "skipped", "failed")} == {
        "fused": 3, "kept": 2, "skipped": 0, "failed": 0,
    }
    single = str(tmp_path / "single.tif")
    run_method(
        "fine_plus_difference", fine=images["fine"][0], coarse=images["coarse"][0], target=images["coarse"][1],
        output=single,
    )
    assert np.array_equal(read_raster(file_of(tmp_path, 2)), read_raster(single))
    with rasterio.open(file_of(tmp_path, 2)) as dataset:
        assert dataset.tags()["ACQUISITION_DATETIME"] == "2021-04-22"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert not unfinished(tmp_path)


def test_good_fine_images_are_kept_without_their_masked_pixels(tmp_path, images, here):
    clouds = np.zeros((1, SIDE, SIDE), np.uint8)
    clouds[:, :2] = 1
    mask = write_raster(tmp_path / "clouds_20210420.tif", clouds)
    assert fused(tmp_path, images, fine_masks=[mask]).code == 0
    kept = read_raster(file_of(tmp_path, 0))
    assert np.isnan(kept[:, :2]).all()
    assert np.array_equal(kept[:, 2:], surface(0)[:, 2:])
    assert np.array_equal(read_raster(file_of(tmp_path, 8)), surface(8))


def test_the_folder_is_a_dated_stack_again(tmp_path, images, here):
    fused(tmp_path, images)
    assert list(dated("fused", Input(str(tmp_path / "out")))) == [day(n) for n in range(0, 10, 2)]


def test_the_virtual_stack_has_all_dates(tmp_path, here):
    fused(tmp_path, series(tmp_path / "in", [0, 8], [0, 4, 8], bands=2))
    with rasterio.open(tmp_path / "out" / "stack.vrt") as dataset:
        assert dataset.count == 6
        assert dataset.descriptions[2:4] == ("2021-04-24 band 1", "2021-04-24 band 2")
        assert np.isnan(dataset.nodata)
        assert (dataset.crs.to_epsg(), dataset.transform) == (32633, FINE)
        stack = dataset.read()
    assert np.array_equal(stack[2:4], read_raster(file_of(tmp_path, 4)))
    assert "in/" not in ElementTree.parse(tmp_path / "out" / "stack.vrt").getroot().find(".//SourceFilename").text


def test_scales_and_offsets_are_in_the_virtual_stack(tmp_path, here):
    images = series(tmp_path / "in", [0, 8], [0, 4, 8])
    for path in images["fine"]:
        stored = np.rint(read_raster(path) * 1000).astype(np.uint16)
        write_raster(Path(path), stored, nodata=0, scales=[0.001], offsets=[0.0], descriptions=["NIR"])
    fused(tmp_path, images)
    with rasterio.open(tmp_path / "out" / "stack.vrt") as dataset:
        assert (dataset.dtypes[1], dataset.nodata, dataset.scales[1]) == ("uint16", 0, 0.001)
        assert dataset.descriptions[1] == "2021-04-24 NIR"


def test_the_items_are_valid_stac(tmp_path, images, here):
    fused(tmp_path, images)
    items = json.loads((tmp_path / "out" / "items.json").read_text())
    assert items["type"] == "FeatureCollection"
    assert len({item["id"] for item in items["features"]}) == 5
    for number, item in zip(range(0, 10, 2), items["features"], strict=True):
        assert item["type"] == "Feature"
        assert item["stac_version"] == "1.0.0"
        assert item["properties"]["datetime"] == f"{day(number)}T00:00:00Z"
        assert (item["links"], item["properties"]["proj:epsg"]) == ([], 32633)
        west, south, east, north = item["bbox"]
        ring = np.array(item["geometry"]["coordinates"][0])
        assert ring[0].tolist() == ring[-1].tolist()
        assert 14 < west < east < 16
        assert 46 < south < north < 48
        assert np.allclose([ring.min(axis=0), ring.max(axis=0)], [[west, south], [east, north]], atol=1e-6)
        (asset,) = item["assets"].values()
        assert (tmp_path / "out" / asset["href"]).is_file()
        assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"


def test_without_a_coordinate_system_an_item_has_no_place(tmp_path):
    grid = _products.GeoBox((4, 4), FINE, None)
    entry = _products.Entry(day(0), "fuse", "", {}, None)
    item = _products.item_collection("s", grid, [entry])["features"][0]
    assert item["geometry"] is None
    assert "bbox" not in item


def test_the_manifest_has_the_job_the_states_and_checksums(tmp_path, images, here):
    fused(tmp_path, images, step=1)
    found = manifest(tmp_path)
    assert found["job"]["method"] == "fuse_series"
    assert states(tmp_path) == {
        "04-20": "kept", "04-21": "skipped", "04-22": "fused", "04-23": "skipped", "04-24": "fused",
        "04-25": "skipped", "04-26": "fused", "04-27": "skipped", "04-28": "kept",
    }
    one = found["dates"][2]
    assert one["fine1"] == "2021-04-20"
    assert one["outputs"]["output"]["sha256"] == checksum(file_of(tmp_path, 2))
    assert one["peak_memory_mb"] > 0
    assert json.loads((tmp_path / "out" / "job.json").read_text()) == found["job"]


def test_the_plan_is_there_before_the_first_date_runs(tmp_path, images, here):
    seen = []

    def before(name, stop):
        seen.append((tmp_path / "out" / "plan.csv").is_file() and (tmp_path / "out" / "plan.html").is_file())

    here.before = before
    fused(tmp_path, images)
    assert seen == [True] * 5


def test_the_report_shows_the_series(tmp_path, images, here):
    fused(tmp_path, images)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "5 dates, 2021-04-20 to 2021-04-28: 2 kept, 3 fused" in page
    assert page.count("data:image/png;base64,") == 1


def test_a_series_that_is_done_is_not_done_again(tmp_path, images, here):
    fused(tmp_path, images)
    before = file_of(tmp_path, 2).stat().st_mtime_ns
    here.ran.clear()
    done = fused(tmp_path, images, settings={"threads": 1, "memory_mb": 1024})
    assert (done.code, here.ran) == (0, [])
    assert file_of(tmp_path, 2).stat().st_mtime_ns == before
    assert "5 of 5 part(s) are done already." in done.said.of("log")


def test_what_is_missing_or_was_made_of_other_files_is_done_again(tmp_path, images, here):
    fused(tmp_path, images)
    file_of(tmp_path, 2).unlink()
    file_of(tmp_path, 6).write_bytes(b"broken")
    here.ran.clear()
    assert fused(tmp_path, images).code == 0
    assert here.ran == ["fused_20210422.tif", "fused_20210426.tif"]
    here.ran.clear()
    os.utime(images["coarse"][2], (0, 0))
    assert fused(tmp_path, images).code == 0
    assert here.ran == ["fused_20210424.tif"]


def test_images_that_came_since_are_added(tmp_path, images, here):
    folders = {}
    for sensor, paths in images.items():
        folders[sensor] = [str(tmp_path / sensor)]
        (tmp_path / sensor).mkdir()
        for path in paths:
            Path(path).rename(tmp_path / sensor / Path(path).name)
    fused(tmp_path, folders)
    here.ran.clear()
    new = series(tmp_path / "new", [], [10])["coarse"][0]
    Path(new).rename(tmp_path / "coarse" / Path(new).name)
    assert fused(tmp_path, folders).code == 0
    assert here.ran == ["fused_20210430.tif"]
    assert len(states(tmp_path)) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [({"method": "copy_fine"}, "'method' in 'options'"), ({"fine_nodata": 7.0}, "'fine' in 'inputs'")],
)
def test_another_job_in_the_same_folder_is_refused(tmp_path, images, here, change, words):
    fused(tmp_path, images)
    done = fused(tmp_path, images, **change)
    assert done.code == 2
    assert f"holds the series of another job (its {words} differs); choose another folder" in done.error


def test_a_job_of_more_processes_is_the_same_but_not_of_another_step(tmp_path, images, here):
    fused(tmp_path, images)
    assert fused(tmp_path, images, processes=2).code == 0
    done = fused(tmp_path, images, processes=2, step=3)
    assert "holds the series of another job (its 'step' in 'options' differs)" in done.error


def test_a_job_that_was_refused_leaves_its_folder_to_another(tmp_path, images, here):
    assert "No date can be fused" in fused(tmp_path, images, reach=1, dates="2021-04-24").error
    assert (tmp_path / "out" / "plan.html").is_file()
    assert fused(tmp_path, images).code == 0


def test_a_folder_with_something_else_is_left_alone(tmp_path, images, here):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")
    done = fused(tmp_path, images)
    assert done.code == 2
    assert "exists and is not an empty folder" in done.error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_date_that_fails_does_not_stop_the_others_and_is_named(tmp_path, images, here):
    here.faults["fused_20210424.tif"] = Outcome("Coarse image 'c.tif' is broken; download it again.", "user")
    done = fused(tmp_path, images)
    assert done.code == 5
    assert "1 of 5 dates failed: 2021-04-24 (Coarse image 'c.tif' is broken; download it again)" in done.error
    assert "run it again to try these alone" in done.error
    assert states(tmp_path)["04-24"] == "failed"
    assert done.said.of("result")[0]["failed"] == 1
    assert len(json.loads((tmp_path / "out" / "items.json").read_text())["features"]) == 4
    here.ran.clear()
    again = fused(tmp_path, images)
    assert (again.code, here.ran) == (0, ["fused_20210424.tif"])
    assert states(tmp_path)["04-24"] == "fused"


@pytest.mark.parametrize("code", ["memory", ""])
def test_a_date_that_lacked_memory_is_tried_again_alone(tmp_path, images, here, code):
    here.faults["fused_20210424.tif"] = Outcome("There was no room.", code)
    done = fused(tmp_path, images, processes=2, settings={"threads": 2, "memory_mb": 2048})
    assert done.code == 0
    assert here.ran.count("fused_20210424.tif") == 2
    assert (here.orders[0].threads, here.orders[0].memory_mb) == (1, 896)
    assert (here.orders[-1].threads, here.orders[-1].memory_mb) == (2, 1792)


def test_a_cancelled_series_leaves_nothing_half_written_and_goes_on(tmp_path, images, here):
    stop = Stop()

    def before(name, given):
        if name == "fused_20210424.tif":
            given.request()

    here.before = before
    done = fused(tmp_path, images, stop=stop)
    assert done.code == 130
    assert not unfinished(tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not file_of(tmp_path, 4).exists()
    here.ran.clear()
    here.before = lambda name, given: None
    assert fused(tmp_path, images).code == 0
    assert here.ran == ["fused_20210424.tif", "fused_20210426.tif", "fused_20210428.tif"]


def test_a_full_disk_is_said_for_every_date_and_leaves_nothing(tmp_path, images, here, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("stfusion.raster.output.shutil.disk_usage", lambda _: usage(10, 10, 0))
    done = fused(tmp_path, images)
    assert done.code == 5
    assert "5 of 5 dates failed: 2021-04-20 (The output" in done.error
    assert "0 MB free" in done.error
    assert done.error.endswith("; as well as 2021-04-26, 2021-04-28; mend this and run it again.")
    assert not unfinished(tmp_path)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_records_that_cannot_be_written_end_the_run_in_a_sentence(tmp_path, images, here):
    def before(name, stop):
        if name == "fused_20210424.tif":
            records = tmp_path / "out" / "parts"
            records.rename(tmp_path / "elsewhere")
            records.write_text("in the way")

    here.before = before
    done = fused(tmp_path, images)
    assert done.code == 2
    assert "cannot be written" in done.error


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "starfm", "options": "window=7; clases=5"}, "names 'clases', which is unknown; choose from"),
        ({"method": "starfm", "options": "window=8"}, "an even number; take 9"),
        ({"method": "starfm", "options": "window"}, "'Options of the method' has 'window'; write option=value"),
        ({"method": "starfm", "uncertainty": True}, "STARFM gives no uncertainty; switch 'Uncertainty' off"),
        ({"method": "fuse_trained"}, "needs 'Weights' (weights); give a file"),
        ({"name": "a/b"}, "'Name of the files' (name) is 'a/b'"),
        ({"dates": "2021-04-25"}, "No date can be fused: there is no coarse image of this date;"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path, images, here, values, words):
    done = fused(tmp_path, images, **values)
    assert (done.code, here.ran) == (2, [])
    assert words in done.error


def test_options_and_class_maps_reach_the_method(tmp_path, images, here):
    classes = write_raster(tmp_path / "classes.tif", np.ones((1, SIDE, SIDE), np.uint8))
    done = fused(tmp_path, images, method="vipstf", options="window=9; neighbours=5,", class_map=classes)
    assert done.code == 0, done.said.lines
    order = next(order for order in here.orders if order.method == "vipstf")
    assert (order.options["window"], order.options["neighbours"]) == (9, 5)
    assert order.inputs["class_map"].path == classes
    assert {"fine2", "coarse2"} <= set(order.inputs)


def test_a_diffusion_model_gives_an_uncertainty_for_each_fused_date(tmp_path, images, here):
    pytest.importorskip("torch", reason="the packages of the networks are not installed")
    options = "samples=2, steps=1"
    done = fused(tmp_path, images, method="stfdiff", options=options, uncertainty=True, dates="2021-04-20,2021-04-24")
    assert done.code == 0, done.said.lines
    assert [path.name for path in (tmp_path / "out" / "uncertainty").iterdir()] == ["fused_20210424.tif"]
    items = json.loads((tmp_path / "out" / "items.json").read_text())["features"]
    assert items[1]["assets"]["uncertainty"]["href"] == "./uncertainty/fused_20210424.tif"
    assert len(dated("fused", Input(str(tmp_path / "out")))) == 2


def test_fine_images_left_out_are_predicted_and_judged(tmp_path, here):
    images = series(tmp_path / "in", [0, 4, 8], range(0, 10, 2))
    done = fused(tmp_path, images, check=True)
    assert done.code == 0, done.said.lines
    check = manifest(tmp_path)["check"]
    assert [one["date"][5:] for one in check["dates"]] == ["04-20", "04-24", "04-28"]
    mean = check["mean"]
    # The images change smoothly in space and steadily in time: the coarse difference has nearly all of it.
    assert mean["fine_plus_difference"]["rmse"] < 0.2 * mean["copy_fine"]["rmse"]
    expected = np.sqrt(np.mean((surface(4) - surface(0)) ** 2))
    middle = next(one for one in check["dates"] if one["date"] == "2021-04-24")
    assert middle["methods"]["copy_fine"]["rmse"] == pytest.approx(expected, rel=1e-5)
    assert not (tmp_path / "out" / "check").exists()
    here.ran.clear()
    assert fused(tmp_path, images, check=True).code == 0
    assert (here.ran, manifest(tmp_path)["check"]) == ([], check)
    assert "Fine images left out" in (tmp_path / "out" / "report.html").read_text()
    assert any(text.startswith("Left out, 3 fine image(s)") for text in done.said.of("log"))


def test_where_none_can_be_left_out_it_is_said(tmp_path, here):
    done = fused(tmp_path, series(tmp_path / "in", [0], [0, 4]), check=True)
    assert done.code == 0
    assert any("No fine image could be checked" in text for text in done.said.of("log"))


def test_a_folder_whose_job_cannot_be_read_is_refused(tmp_path, images, here):
    fused(tmp_path, images)
    (tmp_path / "out" / "job.json").write_text("{")
    done = fused(tmp_path, images)
    assert done.code == 2
    assert "of an earlier run cannot be read" in done.error


@pytest.mark.parametrize(
    ("threads", "memory", "parts", "needs", "expected"),
    [
        (4, 2304, 10, "base", (4, 1, 512)),
        (4, 1280, 10, "base", (2, 2, 512)),
        (4, 8192, 2, "base", (2, 2, 3968)),
        (4, 4096, 10, "networks", (2, 2, 1920)),
        (2, 512, 10, "base", (1, 2, 256)),
    ],
)
def test_processes_share_threads_and_memory(threads, memory, parts, needs, expected):
    order = job.parse({
        "operation": "simulate", "method": "simulate", "outputs": {"output": "x"}, "threads": threads,
        "memory_mb": memory,
    })
    crew = Crew.of(Context(order, None), parts, needs)
    assert (crew.workers, crew.threads, crew.memory_mb) == expected


def test_a_graphics_card_serves_one_process(monkeypatch):
    order = job.parse({"operation": "simulate", "method": "simulate", "outputs": {"output": "x"}, "threads": 4})
    monkeypatch.setattr("stfusion.device.find", lambda wanted: Device("a card", cuda=True))
    assert Crew.of(Context(order, None), 10, "base").workers == 1


def test_a_worker_serves_many_jobs_and_one_that_died_is_replaced(tmp_path):
    images = series(tmp_path, [0], [0, 4])
    plain = job.build(registry.get("fuse", "copy_fine"), {
        "fine": images["fine"][0], "coarse": images["coarse"][0], "target": images["coarse"][1],
        "output": str(tmp_path / "o.tif"),
    })
    with Worker() as worker:
        first, second = (worker.run(job.parse(plain), Stop(), lambda kind, fields: None) for _ in range(2))
        number = worker._process.pid
        assert (first.done, second.done) == (True, True)
        assert second.cpu_s < first.cpu_s
        os.kill(number, 9)
        worker._process.join()
        died = worker.run(job.parse(plain), Stop(), lambda kind, fields: None)
        assert "ended with code -9 without saying why" in died.error
        again = worker.run(job.parse(plain), Stop(), lambda kind, fields: None)
        assert again.done
        assert worker._process.pid != number


def test_a_daily_series_of_a_real_scene_with_one_command(tmp_path):
    folder = real_scene("stf_salton_hls_viirs")
    images = {
        role: [str(path) for path in sorted(folder.glob(f"{name}*.tif"))]
        for role, name in (("fine", "HLS"), ("coarse", "VIIRS"))
    }
    done = fused(tmp_path, images, method="vipstf", check=True, processes=0)
    assert done.code == 0, done.error
    found = manifest(tmp_path)
    assert len(found["dates"]) == 46
    assert set(states(tmp_path).values()) == {"fused", "kept"}
    mean = found["check"]["mean"]
    assert mean["vipstf"]["dates"] == 10
    assert mean["vipstf"]["rmse"] < 0.95 * min(scores["rmse"] for name, scores in mean.items() if name != "vipstf")
    with rasterio.open(tmp_path / "out" / "stack.vrt") as dataset:
        assert (dataset.count, dataset.width) == (46, 140)
        assert dataset.descriptions[0] == "2020-10-01 NIR" or dataset.descriptions[0].startswith("2020-10-01")


def test_a_warning_that_many_dates_give_is_handed_on_once(tmp_path, images, here, monkeypatch):
    run_order = here.run

    def warning(order, stop, hear):
        hear("warning", {"message": f"{len(here.ran)} values ({len(here.ran)}.5%) were clipped."})
        return run_order(order, stop, hear)

    monkeypatch.setattr(here, "run", warning)
    done = fused(tmp_path, images)
    clipped = [text for text in done.said.of("warning") if "clipped" in text]
    assert len(clipped) == 1
    assert clipped[0].startswith("2021-04-20: ")
