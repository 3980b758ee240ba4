"""ESTARFM against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from literal_estarfm import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.fusion import _fuse
from stfusion.fusion._estarfm import _least_r2

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(folder: Path, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray, **options: Any) -> Outcome:
    """Write (2, bands, rows, columns) and (bands, rows, columns) and run ESTARFM without a valid range."""
    images = {"fine": fine[0], "coarse": coarse[0], "target": target, "fine2": fine[1], "coarse2": coarse[1]}
    paths = {name: write_raster(folder / f"{name}.tif", values) for name, values in images.items()}
    given = {"unit": 1.0, "lowest": -1e6, "highest": 1e6, "output": str(folder / "fused.tif"), **paths, **options}
    return run_method("estarfm", **given)


def fuse(folder: Path, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray, **options: Any) -> np.ndarray:
    outcome = run(folder, fine, coarse, target, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, bands: int, shape: tuple[int, int], gaps: bool) -> tuple[np.ndarray, ...]:
    """Three classes whose fine values change with the coarse ones at their own rate, with noise and missing pixels."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, shape)
    start, rate = rng.uniform(0.1, 0.4, (bands, 3)), rng.uniform(-0.5, 2.0, (bands, 3))
    coarse = np.stack([0.2 + step + quantised(rng, bands, *shape, high=0.05) for step in (0.0, rng.uniform(-0.1, 0.2))])
    fine = start[:, classes] + rate[:, classes] * coarse + quantised(rng, 2, bands, *shape, high=0.03)
    target = 0.25 + quantised(rng, bands, *shape, high=0.1)
    fine, coarse, target = (image.astype(np.float32) for image in (fine, coarse, target))
    if gaps:
        for image in (*fine, *coarse, target):
            image[:, rng.random(shape) < 0.08] = np.nan
    return fine, coarse, target


options = st.fixed_dictionaries(
    {
        "window": st.sampled_from([3, 5, 9, 11]),
        "classes": st.integers(1, 6),
        "conversion": st.sampled_from(["regression", "weighted", "one"]),
        "least_change": st.sampled_from([0.01, 0.02, 0.05]),
        "bias_correction": st.booleans(),
        "block": st.sampled_from([0, 0, 5]),
    }
)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 3),
    shape=st.tuples(st.integers(11, 14), st.integers(11, 14)),
    gaps=st.booleans(),
    chosen=options,
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, shape: tuple[int, int], gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, shape, gaps)
    expected = Literal(**chosen).predict(*images)
    fused = fuse(tmp_path, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=5e-6)


def test_least_significant_correlation_is_that_of_the_f_test() -> None:
    candidates = np.arange(6, 400)
    f = stats.f.isf(0.05, 1, 2 * candidates - 2)
    np.testing.assert_allclose(_least_r2(399)[6:], f / (f + 2 * candidates - 2), rtol=2e-5)


def test_no_change_returns_the_fine_image_of_that_date(tmp_path: Path) -> None:
    fine, coarse, _ = scene(1, 2, (30, 28), gaps=False)
    for date in (0, 1):
        np.testing.assert_allclose(fuse(tmp_path, fine, coarse, coarse[date], window=9), fine[date], atol=1e-6)


def test_uniform_change_is_multiplied_by_the_coefficient(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    first = 0.1 + quantised(rng, 2, 30, 28, high=0.2)
    coarse = np.stack([first, first + np.float32(0.1)])
    fine = np.float32(0.03) + np.float32(1.5) * coarse
    fused = fuse(tmp_path, fine, coarse, first + np.float32(0.04), window=9)
    np.testing.assert_allclose(fused, fine[0] + 1.5 * 0.04, atol=2e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes in pure coarse pixels of which one changes: the other must not move."""
    classes = np.kron(np.random.default_rng(0).integers(0, 2, (6, 6)), np.ones((8, 8), int))
    images = [(0.1 + (0.2 + change) * classes).astype(np.float32)[None] for change in (0.0, 0.1, 0.3)]
    fine = np.stack([images[0], images[2]])
    fused = fuse(tmp_path, fine, fine + np.float32(0.01), images[1] + np.float32(0.01), window=17)
    np.testing.assert_allclose(fused, images[1], atol=1e-6)


def small_objects(background: float) -> np.ndarray:
    """The paper's simulated scene: a changing background, a disc of five pixels' radius and a line that stay."""
    y, x = np.mgrid[:153, :153]
    image = np.full((153, 153), background)
    image[np.hypot(y - 76, x - 76) <= 5] = 0.05
    image[:, 30:32] = 0.5
    return image


def test_objects_smaller_than_a_coarse_pixel_are_kept(tmp_path: Path) -> None:
    images = [small_objects(background).astype(np.float32)[None] for background in (0.1, 0.2, 0.4)]
    coarse = [np.kron(image[0].reshape(9, 17, 9, 17).mean((1, 3)), np.ones((17, 17)))[None] for image in images]
    coarse = [image.astype(np.float32) for image in coarse]
    fused = fuse(tmp_path, np.stack(images[::2]), np.stack(coarse[::2]), coarse[1], window=51)
    object_ = images[1] != np.float32(0.2)
    np.testing.assert_allclose(fused[object_], images[1][object_], atol=1e-6)


def test_result_does_not_depend_on_tiles_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with coarse images on their own grid, gaps in one pair and blocks of their own deviation."""
    rng = np.random.default_rng(5)
    names = {}
    for number, name in enumerate(("fine", "fine2")):
        fine = rng.random((3, 190, 177)).astype(np.float32)
        fine[:, 40 + 15 * number : 60, 50:90] = np.nan
        names[name] = write_raster(tmp_path / f"{name}.tif", fine)
    for name in ("coarse", "coarse2", "target"):
        coarse = rng.random((3, 16, 15)).astype(np.float32)
        coarse[:, 7, 9] = np.nan
        names[name] = write_raster(tmp_path / f"{name}.tif", coarse, FINE @ Affine.scale(13.3, 12.7))

    def run_tiles(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method(
            "estarfm", settings={"threads": threads}, output=path, window=15, classes=1, block=50, **names
        )
        assert outcome.code == 0
        return read_raster(path)

    whole = run_tiles((190, 177), 1)
    assert 0 < np.isnan(whole).mean() < 0.2
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((190, 19), 2), ((1, 177), 2)):
        np.testing.assert_array_equal(run_tiles(tile, threads), whole)


def test_mirroring_transposing_and_permuting_bands(tmp_path: Path) -> None:
    images = scene(11, 3, (22, 18), gaps=True)
    straight = fuse(tmp_path, *images, window=7)
    mirrored = [np.ascontiguousarray(image[..., ::-1, :]) for image in images]
    np.testing.assert_allclose(fuse(tmp_path, *mirrored, window=7), straight[:, ::-1], rtol=1e-5, atol=1e-6)
    transposed = [np.ascontiguousarray(image.swapaxes(-1, -2)) for image in images]
    np.testing.assert_allclose(
        fuse(tmp_path, *transposed, window=7), straight.swapaxes(-1, -2), rtol=1e-5, atol=1e-6
    )
    permuted = [image[..., [2, 0, 1], :, :] for image in images]
    np.testing.assert_allclose(fuse(tmp_path, *permuted, window=7), straight[[2, 0, 1]], rtol=1e-5, atol=1e-6)


def test_scaling_reflectance(tmp_path: Path) -> None:
    """Reflectance stored as 0..10000 gives the same, since the options are in reflectance."""
    images = scene(12, 2, (20, 20), gaps=True)
    bounds = {"lowest": 0.2, "highest": 0.6}
    straight = fuse(tmp_path, *images, window=7, **bounds)
    scaled = fuse(tmp_path, *(image * np.float32(1024) for image in images), window=7, unit=1024.0, **bounds)
    np.testing.assert_allclose(scaled / 1024, straight, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_whole_numbers_give_the_same_as_their_values(tmp_path: Path, dtype: type[np.integer[Any]]) -> None:
    """Whole numbers of files take a path of their own; but for their largest, which means 'no value' there."""
    rng = np.random.default_rng(6)
    limits = np.iinfo(dtype)
    middle, quarter = (int(limits.min) + limits.max) // 2, (limits.max - int(limits.min)) // 4
    stored = rng.integers(middle - quarter, middle + quarter, (2, 2, 24, 22), dtype)
    stored[1, :, 3, 4] = limits.max
    coarse = (rng.random((2, 2, 24, 22)) * 0.05).astype(np.float32)
    scales, offsets = (0.3 / limits.max, 0.7 / limits.max), (0.4, 0.5)
    values = stored * np.array(scales)[:, None, None] + np.array(offsets)[:, None, None]
    chosen = {"window": 9, "classes": 2, "unit": 1.0, "lowest": 0.3, "output": str(tmp_path / "fused.tif")}
    paths = {name: write_raster(tmp_path / f"{name}.tif", coarse[0]) for name in ("coarse", "target")}
    paths["coarse2"] = write_raster(tmp_path / "coarse2.tif", coarse[1])
    results = []
    for fine in (stored, values.astype(np.float32)):
        profile = {} if fine.dtype == np.float32 else {"scales": scales, "offsets": offsets}
        for name, image in zip(("fine", "fine2"), fine, strict=True):
            paths[name] = write_raster(tmp_path / f"{name}.tif", image, **profile)
        assert run_method("estarfm", **paths, **chosen).code == 0
        results.append(read_raster(tmp_path / "fused.tif").astype(float))
    results[0] = results[0] * np.array(scales)[:, None, None] + np.array(offsets)[:, None, None]
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=0.51 * max(scales))


def test_a_gap_touches_only_its_window(tmp_path: Path) -> None:
    images = scene(13, 2, (40, 40), gaps=False)
    before = fuse(tmp_path, *images, window=7)
    images[2][:, 20, 20] = np.nan
    after = fuse(tmp_path, *images, window=7)
    assert np.isnan(after[:, 20, 20]).all()
    assert np.isnan(after).sum() == 2
    near = np.zeros((40, 40), bool)
    near[17:24, 17:24] = True
    np.testing.assert_array_equal(after[:, ~near], before[:, ~near])


def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path) -> None:
    """As if both pairs were the one that is whole; said with a count."""
    fine, coarse, target = scene(14, 2, (20, 20), gaps=False)
    same = fuse(tmp_path, fine[[1, 1]], coarse[[1, 1]], target, window=7)
    fine[0, :, 5:9, 5:9] = np.nan
    outcome = run(tmp_path, fine, coarse, target, window=7)
    fused = read_raster(tmp_path / "fused.tif")
    np.testing.assert_array_equal(fused[:, 5:9, 5:9], same[:, 5:9, 5:9])
    assert any("32 of 800 values (4.00%) were predicted from one pair" in said for said in outcome.said.of("warning"))


def test_fallbacks_are_counted(tmp_path: Path) -> None:
    images = scene(15, 1, (20, 20), gaps=False)

    def said(**options: Any) -> str:
        return " ".join(run(tmp_path, *images, window=7, **options).said.of("warning"))

    assert "five similar pixels or fewer" in said(classes=1000)
    assert "400 of 400 values (100.00%) took the conversion coefficient 1, since the coarse images" in said(
        classes=1, least_change=9.0
    )
    images = (images[0], images[1], images[2])
    assert "regression is not significant" in said(classes=1, least_change=0.0)


def test_predictions_outside_the_valid_range(tmp_path: Path) -> None:
    """They take the mean of similar fine values; a bound that the fine images do not keep is no bound."""
    images = scene(16, 2, (20, 20), gaps=False)
    chosen = {"window": 7, "classes": 2, "lowest": 0.0, "highest": 0.65}
    assert (images[0].max(), np.percentile(images[0], 98)) < (0.8, 0.65)
    fused = fuse(tmp_path, *images, **chosen)
    np.testing.assert_allclose(fused, Literal(**chosen).predict(*images), rtol=1e-5, atol=5e-6)
    assert (fuse(tmp_path, *images, **chosen | {"highest": 1e6}) != fused).any()
    free = fuse(tmp_path, *images, **chosen | {"highest": 0.1})
    np.testing.assert_allclose(free, Literal(**chosen | {"highest": np.inf}).predict(*images), rtol=1e-5, atol=5e-6)


def test_constant_images(tmp_path: Path) -> None:
    flat = np.full((2, 2, 20, 20), 0.3, np.float32)
    np.testing.assert_array_equal(fuse(tmp_path, flat, flat, flat[0], window=7), flat[0])


class Pairs:
    """Two good pairs and a target, of which a test spoils one thing."""

    def __init__(self, folder: Path) -> None:
        fine, coarse, target = scene(17, 2, (20, 20), gaps=False)
        images = {"fine": fine[0], "coarse": coarse[0], "target": target, "fine2": fine[1], "coarse2": coarse[1]}
        self.paths = {name: write_raster(folder / f"{name}.tif", values) for name, values in images.items()}
        self.before = sorted(folder.iterdir())
        self.folder = folder

    def run(self, **values: Any) -> Outcome:
        given = {"window": 5, "unit": 1.0, "output": str(self.folder / "fused.tif"), **self.paths, **values}
        return run_method("estarfm", **{name: value for name, value in given.items() if value is not None})

    def refused(self, **values: Any) -> str:
        outcome = self.run(**values)
        assert outcome.code == 2
        assert sorted(self.folder.iterdir()) == self.before
        return outcome.error


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return Pairs(tmp_path)


def test_one_pair_is_too_few(pairs: Pairs) -> None:
    assert pairs.refused(fine2=None, coarse2=None) == (
        "ESTARFM needs 'Fine image of the second pair' (fine2); give a raster file."
    )


def test_pairs_of_one_date(pairs: Pairs) -> None:
    assert pairs.refused(pair_date="2001-05-24", pair2_date="2001-05-24") == (
        "Fine image of the pair 'fine.tif' and Fine image of the second pair 'fine2.tif' are both of 2001-05-24; "
        "choose a second pair of another date, or set 'Date of the pair' and 'Date of the second pair'."
    )


def test_the_same_pair_twice(pairs: Pairs) -> None:
    assert pairs.refused(fine2=pairs.paths["fine"]).endswith(
        "'fine.tif' are the same file; choose a second pair of another date, or a method for one pair."
    )


@pytest.mark.parametrize(("day", "count"), [("2001-07-11", 0), ("2001-08-13", 1), ("2001-05-23", 1)])
def test_target_date_outside_the_pairs(pairs: Pairs, day: str, count: int) -> None:
    outcome = pairs.run(pair_date="2001-08-12", pair2_date="2001-05-24", target_date=day)
    assert outcome.code == 0
    said = [line for line in outcome.said.of("warning") if "not between the dates of the pairs" in line]
    assert len(said) == count
    assert all(f"'target.tif' is of {day}" in line and "2001-05-24 and 2001-08-12" in line for line in said)


def test_fine_images_that_do_not_overlap(pairs: Pairs) -> None:
    write_raster(pairs.folder / "fine2.tif", read_raster(pairs.paths["fine2"]), FINE @ Affine.translation(500, 0))
    error = pairs.refused()
    assert "Fine image of the second pair 'fine2.tif' and Fine image of the pair 'fine.tif' do not overlap" in error


def test_window_larger_than_the_image(pairs: Pairs) -> None:
    assert pairs.refused(window=21).startswith("The window of 21 pixels is larger than Fine image of the pair")


def test_boreas(tmp_path: Path) -> None:
    """July from May and August: the error, and four pixels, that a port of the authors' code has."""
    folder = real_scene("stf_boreas_2001_envi")
    roles = {"fine": "tm20010524", "coarse": "modis20010524", "target": "modis20010711", "fine2": "tm20010812"}
    roles["coarse2"] = "modis20010812"
    paths = {role: str(folder / name) for role, name in roles.items()}
    outcome = run_method("estarfm", **paths, conversion="regression", output=str(tmp_path / "fused.tif"))
    assert outcome.code == 0
    truth, fused = read_raster(folder / "tm20010711") / 1e4, read_raster(tmp_path / "fused.tif")
    assert np.sqrt(((fused / 1e4 - truth) ** 2).mean(axis=(1, 2))).mean() == pytest.approx(0.0076, abs=5e-5)
    pixels = {
        (0, 0): (426.61, 247.42, 2552.92),
        (100, 100): (438.20, 291.81, 1728.74),
        (200, 200): (394.99, 185.25, 1825.92),
        (300, 50): (478.03, 306.39, 2398.29),
    }
    for (row, column), values in pixels.items():
        np.testing.assert_array_equal(fused[:, row, column], np.rint(values))


def test_published_temperatures_of_ubestarfm(tmp_path: Path) -> None:
    """Its similarity, bias correction, blocks and range, on its own scene: its result to a thousandth of a kelvin."""
    folder = real_scene("stf_ubestarfm_lst")
    roles = {"fine": "Landsat_LST_cloudrm_20160205", "coarse": "MOD11A1_LST_cloudrm_20160205"}
    roles |= {"fine2": "Landsat_LST_cloudrm_20160308", "coarse2": "MOD11A1_LST_cloudrm_20160308"}
    paths = {role: str(folder / "input" / f"{name}.tif") for role, name in roles.items()}
    paths["target"] = str(folder / "input" / "MOD11A1_LST_cloudrm_20160218.tif")
    chosen = {"classes": 2, "conversion": "one", "bias_correction": True, "block": 200, "lowest": 2.5, "highest": 3.5}
    outcome = run_method("estarfm", **paths, **chosen, output=str(tmp_path / "fused.tif"))
    assert outcome.code == 0
    published = read_raster(folder / "reference_output" / "fused_result.tif")
    known = published > 0
    assert known.sum() == known.size - 1
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif")[known], published[known], rtol=0, atol=1e-3)
