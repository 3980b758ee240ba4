"""Filling gaps: against a literal judge, nothing observed changes, errors with and without correction, tiles, input."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import rasterio

from makers import FINE, Outcome, read_raster, run_method, write_raster
from stfusion.raster import tiles

SHAPE = (75, 110)


def fill(folder, code=0, settings=None, output="out", **values) -> Outcome:
    values = {"fine": str(folder / "fine"), "fused": str(folder / "fused"), "output": str(folder / output), **values}
    outcome = run_method("fill_gaps", settings=settings, **values)
    assert outcome.code == code, outcome.said.lines
    return outcome


def literal(differences: np.ndarray, support: float) -> np.ndarray:
    """The difference for every pixel of one band (rows, columns), by its definition, cell by cell."""
    rows, columns = differences.shape
    extents = [(-(-rows // 32) * 2 ** (5 - level), -(-columns // 32) * 2 ** (5 - level)) for level in range(6)]
    while extents[-1] != (1, 1):
        extents.append((-(-extents[-1][0] // 2), -(-extents[-1][1] // 2)))

    @cache
    def cell(level: int, i: int, j: int) -> float:
        side = 2**level
        block = differences[i * side : (i + 1) * side, j * side : (j + 1) * side]
        known = block[~np.isnan(block)].astype(float)
        above = 0.0 if level == len(extents) - 1 else between(level + 1, (i + 0.5) / 2 - 0.5, (j + 0.5) / 2 - 0.5)
        return (known.sum() + support * above) / (known.size + support)

    def between(level: int, y: float, x: float) -> float:
        """Bilinear interpolation of the cells of a level at a place counted in their centres."""
        total = 0.0
        for i in (int(np.floor(y)), int(np.floor(y)) + 1):
            for j in (int(np.floor(x)), int(np.floor(x)) + 1):
                weight = (1 - abs(y - i)) * (1 - abs(x - j))
                inside = [min(max(place, 0), size - 1) for place, size in zip((i, j), extents[level], strict=True)]
                total += weight * cell(level, *inside)
        return total

    return np.array([
        [between(1, (i + 0.5) / 2 - 0.5, (j + 0.5) / 2 - 0.5) for j in range(columns)] for i in range(rows)
    ])


@pytest.fixture
def stack(tmp_path):
    """A fine image with a cloud, a fused one that is biased and has a gap of its own; the truth is returned."""
    rng = np.random.default_rng(3)
    truth = (0.1 + 0.3 * rng.random((2, *SHAPE))).astype(np.float32)
    bias = np.linspace(-0.05, 0.05, SHAPE[1], dtype=np.float32) + np.array([0.02, -0.04], np.float32)[:, None, None]
    fused = truth + bias + rng.normal(0, 0.01, truth.shape).astype(np.float32)
    fine = truth.copy()
    fine[:, 20:60, 30:90] = -1
    fine[1, 5, 5] = -1
    fused[:, 40:44, 50:58] = -1
    fused[:, 70:, 100:] = -1
    for name, values in (("fine", fine), ("fused", fused)):
        (tmp_path / name).mkdir()
        write_raster(tmp_path / name / f"{name}_20210409.tif", values, nodata=-1, descriptions=("red", "NIR"))
    return truth, fine, fused


def parts(fine, fused):
    gaps, lost = (fine == -1).any(0), (fused == -1).any(0)
    return gaps, gaps & ~lost, gaps & lost


@pytest.mark.parametrize(("support", "margin"), [(8.0, 0), (1.5, 3)])
def test_the_correction_is_judged(tmp_path, stack, support, margin):
    _, fine, fused = stack
    fill(tmp_path, support=support, margin=margin)
    found = read_raster(tmp_path / "out" / "fine_20210409.tif")
    gaps, filled, missing = parts(fine, fused)
    near = gaps.copy()
    for i, j in np.argwhere(gaps):
        near[max(i - margin, 0) : i + margin + 1, max(j - margin, 0) : j + margin + 1] = True
    known = ~near & (fused[0] != -1)
    design = np.stack([np.ones(SHAPE), *fused], axis=-1).astype(float)
    for band in range(2):
        difference = fine[band].astype(float) - fused[band]
        line = design @ np.linalg.lstsq(design[known], difference[known], rcond=None)[0]
        wanted = fused[band] + line + literal(np.where(known, difference - line, np.nan), support)
        assert np.allclose(found[band][filled], wanted[filled], atol=1e-6)
    assert (found[:, missing] == -1).all()
    assert np.array_equal(found[:, ~gaps], fine[:, ~gaps])


def test_the_correction_lowers_the_error(tmp_path, stack):
    truth, fine, fused = stack
    _, filled, _ = parts(fine, fused)
    errors = {}
    for seam in (True, False):
        fill(tmp_path, seam=seam, output=f"out_{seam}")
        found = read_raster(tmp_path / f"out_{seam}" / "fine_20210409.tif")
        errors[seam] = np.sqrt(np.mean((found - truth)[:, filled] ** 2))
    assert np.allclose(read_raster(tmp_path / "out_False" / "fine_20210409.tif")[:, filled], fused[:, filled])
    assert errors[True] < 0.5 * errors[False]
    assert errors[False] > 0.03


@pytest.mark.parametrize("seed", [1, 2])
def test_the_correction_lowers_the_error_of_a_fusion(tmp_path, seed):
    """A real fusion of a simulated scene, with clouds of many sizes in the image of the date."""
    assert run_method("simulate", output=str(tmp_path / "scene"), size=192, clouds=False).code == 0
    scene = tmp_path / "scene"
    fused = str(tmp_path / "fused.tif")
    given = {role: str(scene / f"{name}.tif") for role, name in
             (("fine", "fine_1"), ("coarse", "coarse_1"), ("target", "coarse_2"))}
    assert run_method("fine_plus_difference", output=fused, **given).code == 0
    cloud, rng = np.zeros((192, 192), np.uint8), np.random.default_rng(seed)
    rows, columns = np.ogrid[:192, :192]
    while cloud.mean() < 0.15:
        row, column = rng.integers(0, 192, 2)
        cloud[(rows - row) ** 2 + (columns - column) ** 2 <= rng.integers(3, 24) ** 2] = 1
    with rasterio.open(scene / "fine_2.tif") as image:
        mask = write_raster(tmp_path / "cloud_20210522.tif", cloud, image.transform, image.crs)
    truth = read_raster(scene / "fine_2.tif").astype(float)
    errors = {}
    for seam in (True, False):
        fill(tmp_path, fine=str(scene / "fine_2.tif"), fused=fused, fine_masks=mask, seam=seam, name=f"f{seam}",
             output=f"out_{seam}")
        (path,) = (tmp_path / f"out_{seam}").glob("*.tif")
        errors[seam] = np.sqrt(np.mean((read_raster(path) - truth)[:, cloud == 1] ** 2))
    assert errors[True] < 0.95 * errors[False]


def test_tiles_and_threads_change_nothing(tmp_path, stack, monkeypatch):
    fill(tmp_path, margin=2)
    whole = read_raster(tmp_path / "out" / "fine_20210409.tif")
    monkeypatch.setattr(tiles, "_LARGEST", 20)
    monkeypatch.setattr(tiles, "_SMALLEST", 20)
    fill(tmp_path, margin=2, output="tiled", settings={"threads": 3})
    assert np.array_equal(read_raster(tmp_path / "tiled" / "fine_20210409.tif"), whole)


def test_what_was_observed_stays_to_the_last_bit(tmp_path):
    """Whole numbers that float32 cannot hold, without a nodata value, of which one is that which is chosen then."""
    rng = np.random.default_rng(5)
    fine = rng.integers(2**24, 2**31 - 1, (1, 40, 40)).astype(np.int32)
    fine[0, 0, 0] = np.iinfo(np.int32).min
    cloud = np.zeros((40, 40), np.uint8)
    cloud[10:20, 10:20] = 3
    fine_path = write_raster(tmp_path / "fine_20210409.tif", fine)
    fused_path = write_raster(tmp_path / "fused_20210409.tif", fine)
    mask = write_raster(tmp_path / "mask_20210409.tif", cloud)
    fill(tmp_path, fine=fine_path, fused=fused_path, fine_masks=mask)
    with rasterio.open(tmp_path / "out" / "fine_20210409.tif") as image:
        found, nodata = image.read(), image.nodata
    observed = cloud == 0
    observed[0, 0] = False
    assert np.array_equal(found[0][observed], fine[0][observed])
    assert found[0, 0, 0] == nodata + 1


def test_masks_say_what_is_filled(tmp_path, stack):
    _, fine, fused = stack
    outcome = fill(tmp_path, mask=True)
    _, filled, missing = parts(fine, fused)
    mask = read_raster(tmp_path / "out" / "filled" / "fine_20210409.tif")[0]
    assert np.array_equal(mask, 2 * missing + filled)
    (results,) = outcome.said.of("result")
    assert (results["filled"], results["missing"]) == (filled.sum(), missing.sum())
    assert f"{missing.sum()} pixel(s) have neither" in outcome.said.of("warning")[0]
    with rasterio.open(tmp_path / "out" / "fine_20210409.tif") as image:
        assert image.transform == FINE
        assert image.descriptions == ("red", "NIR")
        assert image.tags()["ACQUISITION_DATETIME"] == "2021-04-09"


def test_an_image_that_is_all_gap_gets_the_fused_values(tmp_path, stack):
    _, fine, fused = stack
    write_raster(tmp_path / "fine" / "fine_20210409.tif", np.full_like(fine, -1), nodata=-1)
    fill(tmp_path)
    assert np.array_equal(read_raster(tmp_path / "out" / "fine_20210409.tif"), fused)


def test_dates_without_a_partner_are_named(tmp_path, stack):
    _, fine, fused = stack
    write_raster(tmp_path / "fine" / "fine_20210411.tif", fine, nodata=-1)
    write_raster(tmp_path / "fused" / "fused_20210413.tif", fused, nodata=-1)
    outcome = fill(tmp_path)
    assert any("no fused one and stay as they are: 2021-04-11" in said for said in outcome.said.of("warning"))
    assert any("no fine one and are passed over: 2021-04-13" in said for said in outcome.said.of("log"))
    gaps = (fine == -1).any(0)
    assert np.array_equal(read_raster(tmp_path / "out" / "fine_20210411.tif"), np.where(gaps, np.float32(-1), fine))
    assert not list((tmp_path / "out").glob("*20210413*"))


def test_masks_without_an_image_are_named(tmp_path, stack):
    mask = write_raster(tmp_path / "mask_20210410.tif", np.ones(SHAPE, np.uint8))
    said = fill(tmp_path, fine_masks=mask).said.of("warning")
    assert any("No fine image has the date of these masks: 2021-04-10" in each for each in said)


def test_bad_input(tmp_path, stack):
    truth, *_ = stack
    other = write_raster(tmp_path / "fused_20210501.tif", truth)
    assert "No fused image (2021-05-01 to 2021-05-01) has the date" in fill(tmp_path, 2, fused=other).error
    other = write_raster(tmp_path / "fused_20210409.tif", truth[:1])
    assert "has 2 band(s) and Fused image 'fused_20210409.tif' has 1" in fill(tmp_path, 2, fused=other).error
    other = write_raster(tmp_path / "fused_20210409.tif", truth, FINE.translation(9e6, 0) @ FINE)
    assert "do not overlap" in fill(tmp_path, 2, fused=other).error
    assert not (tmp_path / "out").exists()
