"""Series and their preparation: broken files, masks that do not fit and dates that no series takes are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.shutil import copy

from makers import Outcome, run_method, write_raster
from series_scenes import SIDE, day, series

FINE, COARSE, LATE = (0, 8), (0, 4, 8), 8


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Folders "fine" and "coarse" of a small series, as Cloud Optimized GeoTIFFs, whose pixels follow the header."""
    for kind, paths in series(tmp_path / "plain", FINE, COARSE, bands=2).items():
        (tmp_path / kind).mkdir()
        for path in paths:
            copy(path, tmp_path / kind / Path(path).name, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=128)
    return tmp_path


def cut(scene: Path, kind: str) -> str:
    """Cut off the end of the last image of a kind; its name."""
    path = sorted((scene / kind).iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-200])
    return path.name


def run(scene: Path, method: str, /, **values: Any) -> Outcome:
    """Run with the folders of the scene for all that is not given."""
    return run_method(method, output=str(scene / "out"), **values)


def both(scene: Path) -> dict[str, Any]:
    return {kind: [str(scene / kind)] for kind in ("fine", "coarse")}


def images(scene: Path) -> dict[str, Any]:
    return {"images": [str(scene / "coarse")], "reference": [str(scene / "fine")]}


NDVI = {"index": "ndvi", "numbers": "red=1, nir=2"}


@pytest.mark.parametrize(
    ("method", "kind", "options"),
    [
        ("align", "fine", {}), ("align", "coarse", {}), ("harmonise", "fine", {"adjust": "ols"}),
        ("harmonise", "coarse", {"adjust": "histogram"}), ("check_pairs", "fine", {}), ("check_pairs", "coarse", {}),
        ("plan_series", "fine", {}), ("plan_series", "coarse", {}), ("fuse_series", "fine", {}),
        ("fuse_series", "coarse", {}), ("cut_patches", "fine", {"size": 16}), ("cut_patches", "coarse", {"size": 16}),
    ],
)
def test_files_that_broke_off_are_refused_before_the_work(scene, method, kind, options):
    name = cut(scene, kind)
    given = images(scene) if method in ("align", "harmonise") else both(scene)
    if method.endswith("series"):
        options = {"method": "fine_plus_difference"}
    outcome = run(scene, method, **given, **options)
    assert outcome.code == 2
    assert re.search(
        f"mage '{name}' cannot be read to its end .*, as if its download had broken off; download or copy it again",
        outcome.error,
    )
    assert not (scene / "out").exists()


def test_fine_and_fused_images_that_broke_off(scene):
    given = {"fine": [str(scene / "fine")], "fused": [str(scene / "coarse")]}
    name = cut(scene, "coarse")
    assert f"Fused image '{name}' cannot be read to its end" in run(scene, "fill_gaps", **given).error
    name = cut(scene, "fine")
    assert f"Fine image '{name}' cannot be read to its end" in run(scene, "fill_gaps", **given).error
    index = run(scene, "spectral_index", images=given["fine"], **NDVI)
    assert f"Image '{name}' cannot be read to its end" in index.error
    one = run_method("simulate_coarse", fine=str(scene / "fine" / name), ratio=2, output=str(scene / "out.tif"))
    assert (one.code, f"Fine image '{name}' cannot be read to its end" in one.error) == (2, True)
    points = run_method("pixel_series", fine=given["fine"], coordinates="500100,5199900", output=str(scene / "p.csv"))
    assert f"Fine image '{name}' cannot be read to its end" in points.error
    assert sorted(path.name for path in scene.iterdir()) == ["coarse", "fine", "plain"]


def test_masks_that_do_not_fit_are_named(scene):
    (scene / "masks").mkdir()
    small = np.zeros((SIDE - 8, SIDE - 8), np.uint8)
    for number in (LATE, 100):
        write_raster(scene / "masks" / f"mask_{day(number):%Y%m%d}.tif", small)
    masks = [str(scene / "masks")]
    for method, given, kind in (
        ("check_pairs", {**both(scene), "fine_masks": masks}, "fine image"),
        ("plan_series", {**both(scene), "fine_masks": masks, "method": "starfm"}, "fine image"),
        ("align", {**images(scene), "reference_masks": masks}, "reference image"),
        ("spectral_index", {"images": [str(scene / "fine")], "masks": masks, **NDVI}, "image"),
        ("fill_gaps", {"fine": [str(scene / "fine")], "fused": [str(scene / "fine")], "fine_masks": masks},
         "fine image"),
    ):
        outcome = run_method(method, output=str(scene / f"out_{method}"), **given)
        assert outcome.code == 0, outcome.said.lines
        said = outcome.said.of("warning")
        assert f"No {kind} has the date of these masks: {day(100)}." in said
        assert f"These {kind}s have no mask: {day(0)}." in said
        name = f"mask_{day(LATE):%Y%m%d}.tif"
        assert (
            f"The masks of these {kind}s lie on another grid, as '{name}' does, and are resampled by nearest "
            f"neighbour: {day(LATE)}."
        ) in said


def test_images_that_cannot_stand_in_a_series_are_named(scene):
    first, *_ = sorted((scene / "coarse").iterdir())
    copy(first, scene / "coarse" / "late.tif")
    copy(first, scene / "coarse" / f"other_{day(0):%Y%m%d}.tif")
    said = run(scene, "align", **images(scene)).said.of("warning")
    assert any(re.match("1 of 5 files have no date in their tags or names, such as Image 'late.tif':", s) for s in said)
    assert any(
        f"Image '{first.name}' and 'other_20210420.tif' are of one date, {day(0)}: a series takes one" in s
        for s in said
    )


def test_dates_without_a_partner_are_named(scene):
    (scene / "fine" / f"fine_{day(LATE):%Y%m%d}.tif").unlink()
    given = images(scene)
    said = run(scene, "harmonise", adjust="ols", days=3, **given).said.of("log")
    assert any(f"take no part in the regression: {day(4)}, {day(8)}." in line for line in said)
    (scene / "coarse" / f"coarse_{day(0):%Y%m%d}.tif").unlink()
    outcome = run_method("check_pairs", days=3, output=str(scene / "checked"), **both(scene))
    assert f"The fine image of {day(0)} is not judged: no good coarse image lies within 3 days." in (
        outcome.said.of("log")
    )


def test_a_list_of_dates_and_a_range(scene):
    outcome = run(scene, "plan_series", method="starfm", dates=f"{day(4)}", start=f"{day(8)}", **both(scene))
    assert "'Dates' lists 1 date(s), and 'First date', 'Last date' or 'Step' is given as well" in outcome.error
