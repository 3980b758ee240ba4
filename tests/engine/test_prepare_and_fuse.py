"""Prepare and fuse: displaced images are mended, bad dates left out, steps that are done stay, and a real scene."""

from __future__ import annotations

import zipfile
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy as copy_raster

from in_process import InProcess
from makers import FINE, run_method, write_raster
from real_data import real_scene
from stfusion.alone import Outcome
from stfusion.run import Stop
from test_shift import landscape, seen_coarsely

RATIO, SIZE = 8, 40
DAYS = [f"2020050{number}" for number in range(1, 7)]
BAD = DAYS[3]


@pytest.fixture
def here(monkeypatch) -> InProcess:
    return InProcess(monkeypatch)


@pytest.fixture
def scene(tmp_path) -> Path:
    """Two folders: two fine images, and six coarse ones that lie 9 and 5 fine pixels off, one of which is noise."""
    still, change = landscape(1, SIZE * RATIO), landscape(2, SIZE * RATIO)
    for sensor in ("fine", "coarse"):
        (tmp_path / "in" / sensor).mkdir(parents=True)
    for number, day in enumerate(DAYS):
        image = (0.3 + 0.05 * (still + 0.15 * number * change)).astype(np.float32)
        if number in (0, 5):
            write_raster(tmp_path / "in" / "fine" / f"fine_{day}.tif", image, nodata=-9.0)
        write_coarse(tmp_path / "in", day, 0.9 * seen_coarsely(image, 9.0, 5.0) + 0.02)
    write_coarse(tmp_path / "in", BAD, np.random.default_rng(3).random((SIZE, SIZE)))
    return tmp_path / "in"


def write_coarse(folder: Path, day: str, image) -> None:
    path = folder / "coarse" / f"coarse_{day}.tif"
    write_raster(path, np.asarray(image, np.float32), FINE @ Affine.scale(RATIO), nodata=-9.0)


def chained(scene: Path, stop: Stop | None = None, **values):
    given = {
        "method": "fine_plus_difference", "processes": 1, "fine_folder": str(scene / "fine"),
        "coarse_folder": str(scene / "coarse"), **values,
    }
    return run_method("prepare_and_fuse", stop=stop, output=str(scene.parent / "out"), **given)


def written(scene: Path) -> dict[str, int]:
    """All files of the images and tables with the times when they were written."""
    files = (scene.parent / "out").rglob("*.*")
    return {str(file): file.stat().st_mtime_ns for file in files if file.is_file()}


def test_the_whole_way(scene, here):
    done = chained(scene)
    assert done.code == 0, done.said.lines
    (result,) = done.said.of("result")
    numbers = {"moved": 6, "bad_fine": 0, "bad_coarse": 1, "fused": 3, "kept": 2, "skipped": 0, "failed": 0}
    assert {key: result[key] for key in numbers} == numbers
    assert all(Path(result[key]).is_file() for key in ("report", "check_report", "stack"))
    out = scene.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == ["aligned", "job.json", "pairs", "series", "steps"]
    names = [path.name for path in sorted((out / "series").glob("*.tif"))]
    assert names == [f"fused_{day}.tif" for day in DAYS if day != BAD]
    assert any(
        text.startswith("The coarse image of 2020-05-04 is bad and is left out: ") for text in done.said.of("warning")
    )
    # The bad date and the plan are told before the first date is fused, each with the name of its step.
    said = done.said.lines
    fusing = next(n for n, (_, fields) in enumerate(said) if fields.get("name") == "Fuse a time series: Fusing")
    before = " ".join(fields.get("message", "") for _, fields in said[:fusing])
    assert "Fuse a time series: 2020-05-02 fuse: " in before
    assert "2020-05-04 is bad" in before
    progress = done.said.of("progress")
    assert progress == sorted(progress)


def test_mended_images_are_fused_better_than_displaced_ones(scene, here):
    truth = scene.parent / "truth.tif"
    still, change = landscape(1, SIZE * RATIO), landscape(2, SIZE * RATIO)
    image = (0.3 + 0.05 * (still + 0.15 * 2 * change)).astype(np.float32)
    write_raster(truth, image, nodata=-9.0)
    errors = []
    for shift in ("correct", "no"):
        done = run_method(
            "prepare_and_fuse", method="fine_plus_difference", processes=1, fine_folder=str(scene / "fine"),
            coarse_folder=str(scene / "coarse"), shift=shift, output=str(scene.parent / shift),
        )
        assert done.code == 0, done.said.lines
        with rasterio.open(scene.parent / shift / "series" / f"fused_{DAYS[2]}.tif") as dataset:
            inner = dataset.read(1)[40:-40, 40:-40]
        errors.append(float(np.sqrt(np.mean((inner - image[40:-40, 40:-40]) ** 2))))
    assert errors[0] < 0.8 * errors[1]


def test_what_is_done_is_not_done_again(scene, here):
    chained(scene)
    before = written(scene)
    here.ran.clear()
    done = chained(scene, processes=1)
    assert (done.code, here.ran) == (0, [])
    assert written(scene) == before
    assert done.said.of("result")[0]["bad_coarse"] == 1
    assert "Fuse a time series: done already." in done.said.of("log")


def test_an_image_that_came_since_and_a_file_that_is_gone_are_seen(scene, here):
    chained(scene)
    gone = scene.parent / "out" / "aligned" / f"coarse_{DAYS[1]}.tif"
    gone.unlink()
    assert chained(scene).code == 0
    assert gone.is_file()
    (scene / "coarse" / f"coarse_{DAYS[4]}.tif").unlink()
    assert chained(scene).code == 0
    assert not (scene.parent / "out" / "series" / f"fused_{DAYS[4]}.tif").exists()


def test_a_cancelled_run_goes_on(scene, here):
    def before(name, given):
        if name == f"fused_{DAYS[2]}.tif":
            given.request()

    here.before = before
    assert chained(scene, stop=Stop()).code == 130
    assert not list((scene.parent / "out").rglob("*.part"))
    here.ran.clear()
    here.before = lambda name, given: None
    done = chained(scene)
    assert done.code == 0
    assert here.ran == [f"fused_{day}.tif" for day in (DAYS[2], DAYS[4], DAYS[5])]
    assert "Align images: done already." in done.said.of("log")


def test_bad_dates_can_be_kept_and_values_adjusted(scene, here):
    done = chained(scene, bad_dates="keep", adjust="rma")
    assert done.code == 0, done.said.lines
    assert any("2020-05-04 is bad and is used all the same" in text for text in done.said.of("warning"))
    assert len(list((scene.parent / "out" / "series").glob("*.tif"))) == 6
    assert (scene.parent / "out" / "harmonised" / "harmonisation.csv").is_file()


@pytest.mark.parametrize("gone", [False, True])
def test_a_good_fine_image_stays_in_the_series_where_its_coarse_one_is_bad_or_gone(scene, here, gone):
    last = write_raster(
        scene / "fine" / f"fine_{DAYS[2]}.tif",
        (0.3 + 0.05 * (landscape(1, SIZE * RATIO) + 0.3 * landscape(2, SIZE * RATIO))).astype(np.float32), nodata=-9.0,
    )
    if gone:
        (scene / "coarse" / f"coarse_{DAYS[2]}.tif").unlink()
        (scene / "coarse" / f"coarse_{DAYS[5]}.tif").unlink()
    else:
        write_coarse(scene, DAYS[2], np.random.default_rng(4).random((SIZE, SIZE)))
        write_coarse(scene, DAYS[5], np.random.default_rng(5).random((SIZE, SIZE)))
    done = chained(scene)
    assert done.code == 0, done.said.lines
    out = scene.parent / "out" / "series"
    # One that is bad marks the end of the range all the same; one that is gone does not.
    days = [DAYS[0], DAYS[1], DAYS[2], DAYS[4], *([] if gone else [DAYS[5]])]
    assert [path.name for path in sorted(out.glob("*.tif"))] == [f"fused_{day}.tif" for day in days]
    with rasterio.open(out / f"fused_{DAYS[2]}.tif") as kept, rasterio.open(last) as fine:
        assert np.array_equal(kept.read(), fine.read())


def test_downloads_are_imported(scene, here):
    with zipfile.ZipFile(scene / "fine" / "fine.zip", "w") as archive:
        for file in sorted((scene / "fine").glob("*.tif")):
            archive.write(file, file.name)
            file.unlink()
    done = chained(scene)
    assert done.code == 0, done.said.lines
    out = scene.parent / "out"
    assert (out / "fine" / "index.json").is_file()
    assert not (out / "coarse").exists()
    assert any(text.startswith("Import products (fine): ") for text in done.said.of("log"))


def test_images_with_headers_are_in_order(scene, here):
    folder = scene / "envi"
    folder.mkdir()
    for path in (scene / "fine").glob("*.tif"):
        copy_raster(path, folder / path.stem, driver="ENVI")
    files = sorted(map(str, folder.iterdir()))
    assert any(file.endswith(".hdr") for file in files)
    for given in ({"fine_folder": None, "fine": files}, {"fine_folder": str(folder)}):
        done = chained(scene, **given)
        assert done.code == 0, done.said.lines
        assert "The fine images are 2 dated raster files in order, and not imported." in done.said.of("log")
        rmtree(scene.parent / "out")


def test_masks_are_used(scene, here):
    clouds = np.zeros((1, SIZE * RATIO, SIZE * RATIO), np.uint8)
    clouds[:, :8], clouds[:, 8:16] = 4, 1
    mask = write_raster(scene.parent / f"clouds_{DAYS[0]}.tif", clouds)
    done = chained(scene, fine_masks=[mask], clear="0,1")
    assert done.code == 0, done.said.lines
    with rasterio.open(scene.parent / "out" / "series" / f"fused_{DAYS[0]}.tif") as dataset:
        valid = dataset.read_masks(1)
    assert not valid[:8].any()
    assert valid[8:].all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fine_folder": None}, "There are no fine images; give 'Folder of the fine images' or 'Fine images'."),
        ({"coarse_folder": "/nowhere"}, "'/nowhere' does not exist; choose a file, a folder or an archive"),
        ({"method": "starfm", "options": "clases=5"}, "names 'clases', which is unknown"),
        ({"uncertainty": True}, "gives no uncertainty"),
        ({"pattern": "lai"}, "The pattern of dates 'lai' is not understood"),
    ],
)
def test_bad_input_is_named_in_a_sentence(scene, here, values, words):
    done = chained(scene, **values)
    assert (done.code, here.ran) == (2, [])
    assert words in done.error


def test_a_file_that_cannot_be_read_is_named(scene, here):
    (scene / "coarse" / f"coarse_{DAYS[1]}.tif").write_text("no image")
    done = chained(scene)
    assert done.code == 2
    assert f"'coarse_{DAYS[1]}.tif' is neither a known product nor a raster that can be read" in done.error


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "soon"}, "'First date' has 'soon'"), ({"options": "resampling=abc"}, "is 'abc'; choose"),
        ({"start": "2021-05-05", "end": "2021-05-01"}, "begins on 2021-05-05, after its end on 2021-05-01"),
    ],
)
def test_dates_and_options_are_read_before_the_work(scene, options, sentence):
    done = chained(scene, **options)
    assert (done.code, sentence in done.error) == (2, True), done.said.lines
    assert not done.said.of("stage")


def test_dates_can_be_listed(scene, here):
    done = chained(scene, dates="2020-05-03, 2020-05-05")
    assert done.code == 0, done.said.lines
    assert sorted(path.name for path in (scene.parent / "out" / "series").glob("*.tif")) == [
        "fused_20200503.tif", "fused_20200505.tif",
    ]


def test_what_is_prepared_serves_other_dates_as_long_as_nothing_is_fused(scene, here):
    done = chained(scene, start="2021-01-01")
    assert "The series begins on 2021-01-01, after its end on 2020-05-06" in done.error
    aligned = {path: time for path, time in written(scene).items() if "aligned" in path}
    assert chained(scene, start="2020-05-02").code == 0
    assert aligned
    assert aligned.items() <= written(scene).items()
    assert "its 'start' in 'options' differs" in chained(scene, start="2020-05-03").error


def test_another_job_in_the_same_folder_is_refused(scene, here):
    chained(scene)
    done = chained(scene, method="copy_fine")
    assert done.code == 2
    assert "(its 'method' in 'options' differs); choose another folder" in done.error


def test_a_date_that_failed_is_named_and_tried_again(scene, here):
    here.faults[f"fused_{DAYS[2]}.tif"] = Outcome("It is broken; mend it.", "user")
    done = chained(scene)
    assert done.code == 5
    assert done.said.of("result")[0]["bad_coarse"] == 1
    here.ran.clear()
    assert (chained(scene).code, here.ran) == (0, [f"fused_{DAYS[2]}.tif"])


def test_farmland_at_the_salton_sea_in_one_run(tmp_path, here):
    scene = real_scene("stf_salton_hls_viirs")
    done = run_method(
        "prepare_and_fuse", fine=[str(path) for path in sorted(scene.glob("HLS*.tif"))],
        coarse=[str(path) for path in sorted(scene.glob("VIIRS*.tif"))], method="fine_plus_difference",
        output=str(tmp_path / "out"),
    )
    assert done.code == 0, done.said.lines
    (result,) = done.said.of("result")
    assert {key: result[key] for key in ("fused", "kept", "moved", "bad_fine", "bad_coarse")} == {
        "fused": 36, "kept": 10, "moved": 0, "bad_fine": 0, "bad_coarse": 0,
    }
    assert len(list((tmp_path / "out" / "series").glob("*.tif"))) == 46
