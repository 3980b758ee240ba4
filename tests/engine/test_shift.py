"""Displacements between images: found to a part of a pixel, with gaps and noise, and never where nothing matches."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import FINE, write_raster
from stfusion.job import Input
from stfusion.preparation._shift import STEPS, Part, displacement, peak, seen, surface, together
from stfusion.preparation._windows import Measured, Windows, detail, measure
from stfusion.raster.source import Source

RATIO = 8
SIZE = 64
REACH = 3 * STEPS


def landscape(seed: int, size: int, slope: float = 2.2) -> np.ndarray:
    """A periodic random image whose power falls with frequency as that of landscapes does (size, size)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * frequency ** (-slope / 2)
    image = np.fft.ifft2(spectrum).real
    return (image / image.std()).astype(np.float32)


def seen_coarsely(fine: np.ndarray, rows: float, columns: float, ratio: int = RATIO) -> np.ndarray:
    """Means of ratio x ratio pixels of a periodic image whose content was moved by fine pixels, exactly."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(size) for size in fine.shape), indexing="ij")
    turn = np.exp(-2j * np.pi * (frequencies[0] * rows + frequencies[1] * columns))
    moved = np.fft.ifft2(np.fft.fft2(fine) * turn).real
    return moved.reshape(len(fine) // ratio, ratio, -1, ratio).mean((1, 3)).astype(np.float32)


def measured(folder, fine: np.ndarray, coarse: np.ndarray, ratio: float = RATIO, largest: float = 3.0) -> Measured:
    """The displacement between two images (rows, columns) or (bands, rows, columns) on nested grids."""
    paths = [
        write_raster(folder / "fine.tif", fine.astype(np.float32), nodata=-999.0),
        write_raster(folder / "coarse.tif", coarse.astype(np.float32), FINE * FINE.scale(ratio), nodata=-999.0),
    ]
    sources = [Source(path, Input(path)) for path in paths]
    return measure(sources[1], sources[0], largest)


@pytest.mark.parametrize(("rows", "columns"), [(0.0, 0.0), (3.3, -5.7), (-12.5, 9.25), (0.8, 17.0)])
def test_known_displacements_are_found_to_a_twentieth_of_a_coarse_pixel(tmp_path, rows, columns):
    fine = landscape(1, SIZE * RATIO)
    answer = measured(tmp_path, fine, seen_coarsely(fine, rows, columns))
    assert answer.found.sure
    assert answer.found.moved == (rows != 0)
    # The content lies (rows, columns) further down and to the right, and has to be moved back.
    assert np.allclose(answer.in_reference(), (-rows, -columns), atol=0.05 * RATIO)
    assert answer.found.after >= answer.found.before - 1e-12


@pytest.mark.parametrize("ratio", [1, 2, 3, 7, 16])
def test_every_ratio(tmp_path, ratio):
    fine = landscape(2, 64 * ratio, slope=3.0)
    coarse = seen_coarsely(fine, 0.6 * ratio, -1.3 * ratio, ratio)
    answer = measured(tmp_path, fine, coarse, ratio)
    assert answer.found.moved
    width = answer.pixel
    assert np.allclose((answer.found.rows * width, answer.found.columns * width), (-0.6, 1.3), atol=0.1)


def test_noise_bias_and_gaps_in_both_images(tmp_path):
    fine, rng = landscape(3, SIZE * RATIO), np.random.default_rng(0)
    coarse = 0.7 * seen_coarsely(fine, 6.0, -10.0) + 3 + 0.2 * rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    # A filler far from all values, which would rule the correlation if it took part, and which moves with nothing.
    fine[100:210, 250:400] = fine[300:360, :90] = -999
    coarse[40:50, 3:20] = coarse[5:9, 5:60] = -999
    answer = measured(tmp_path, fine, coarse)
    assert answer.found.moved
    assert np.allclose(answer.in_reference(), (-6.0, 10.0), atol=0.1 * RATIO)


def test_a_coarse_image_on_the_fine_grid(tmp_path):
    fine = landscape(4, SIZE * RATIO)
    coarse = np.kron(seen_coarsely(fine, 5.0, 11.0), np.ones((RATIO, RATIO), np.float32))
    answer = measured(tmp_path, fine, coarse, 1)
    assert answer.pixel == RATIO  # steps of nearest neighbour have no detail below their width
    assert np.allclose(answer.in_reference(), (-5.0, -11.0), atol=0.1 * RATIO)


def test_a_finer_image_than_its_reference(tmp_path):
    fine = landscape(5, SIZE * RATIO)
    paths = [
        write_raster(tmp_path / "fine.tif", fine),
        write_raster(tmp_path / "coarse.tif", seen_coarsely(fine, 4.0, 9.0), FINE * FINE.scale(RATIO)),
    ]
    answer = measure(*(Source(path, Input(path)) for path in paths), 3.0)
    assert answer.found.moved
    assert np.allclose(np.array(answer.in_reference()) * RATIO, (4.0, 9.0), atol=0.1 * RATIO)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0, 3.0])
def test_unrelated_images_are_never_moved(tmp_path, slope):
    sides = {}
    for seed in range(12):
        fine = landscape(100 + seed, 32 * RATIO, 2.0)
        other = landscape(200 + seed, 32 * RATIO, slope)
        found = measured(tmp_path, fine, seen_coarsely(other, 0, 0)).found
        sides[seed] = (found.sure, found.moved, bool(found.reason))
    assert set(sides.values()) == {(False, False, True)}


def test_noise_and_constants_are_never_moved(tmp_path):
    fine, rng = landscape(6, SIZE * RATIO), np.random.default_rng(1)
    assert not measured(tmp_path, fine, rng.standard_normal((SIZE, SIZE))).found.sure
    constant = measured(tmp_path, fine, np.full((SIZE, SIZE), 5.0)).found
    assert (constant.sure, constant.confidence) == (False, 0.0)
    assert "no variation" in constant.reason
    empty = measured(tmp_path, fine, np.full((SIZE, SIZE), -999.0)).found
    assert "too few valid pixels" in empty.reason


def test_a_displacement_beyond_the_search_is_not_mended(tmp_path):
    fine = landscape(7, SIZE * RATIO, slope=3.0)
    found = measured(tmp_path, fine, seen_coarsely(fine, 0, 5.0 * RATIO), largest=2.0).found
    assert not found.moved
    assert measured(tmp_path, fine, seen_coarsely(fine, 0, 5.0 * RATIO), largest=7.0).found.moved


def test_windows_that_are_displaced_differently_do_not_agree(tmp_path):
    fine = landscape(8, SIZE * RATIO)
    coarse, half = seen_coarsely(fine, 0, 0), SIZE // 2
    for number, (top, left) in enumerate(product((0, half), repeat=2)):
        way = np.array([(2, 2), (2, -2), (-2, 2), (-2, -2)][number]) * RATIO
        moved = seen_coarsely(fine, *way)
        coarse[top : top + half, left : left + half] = moved[top : top + half, left : left + half]
    assert not measured(tmp_path, fine, coarse).found.moved


def test_the_surface_is_the_correlation_of_the_valid_pixels():
    rng = np.random.default_rng(2)
    side, reach = 9, 3
    image = rng.standard_normal((side, side)).astype(np.float32) + 1000
    reference = rng.standard_normal((1 + STEPS * (side - 1) + 2 * reach,) * 2).astype(np.float32) + 5000
    image[2, 3] = image[5, :2] = np.nan
    reference[10:14, 8:20] = np.nan
    found, count = surface(Part(0, image, reference), reach)
    assert count == side * side - 3
    for dy, dx in product(range(2 * reach + 1), repeat=2):
        other = reference[dy : dy + STEPS * side : STEPS, dx : dx + STEPS * side : STEPS][:side, :side]
        both = ~np.isnan(image) & ~np.isnan(other)
        wanted = np.corrcoef(image[both].astype(float), other[both].astype(float))[0, 1]
        assert found[dy, dx] == pytest.approx(wanted, abs=1e-9)


def test_too_few_common_pixels_have_no_correlation():
    image = np.full((9, 9), np.nan, np.float32)
    image[:2] = np.random.default_rng(3).standard_normal((2, 9))
    reference = np.random.default_rng(4).standard_normal((39, 39)).astype(np.float32)
    assert np.isnan(surface(Part(0, image, reference), 3)[0]).all()


def test_what_pixels_see_is_the_mean_of_the_valid_steps():
    lattice = np.arange(30, dtype=np.float32).reshape(5, 6)
    assert np.array_equal(seen(lattice)[0], lattice[:4].reshape(4, 6)[:, :4].mean() + np.arange(3))
    lattice[0, :4] = lattice[1, :4] = np.nan
    assert seen(lattice)[0, 0] == pytest.approx(np.nanmean(lattice[:4, :4]))
    lattice[2, 0] = np.nan  # seven of sixteen are left
    assert np.isnan(seen(lattice)[0, 0])


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(-4, 4), st.integers(-4, 4))
@settings(max_examples=50, deadline=None)
def test_the_peak_of_a_paraboloid_is_exact(down, right, rows, columns):
    steps = np.arange(-8, 9)
    bowl = 0.9 - 0.01 * (steps[:, None] - rows - down) ** 2 - 0.02 * (steps - columns - right) ** 2
    top = peak(bowl)
    assert top is not None
    assert top.rows * STEPS == pytest.approx(rows + down, abs=1e-6)
    assert top.columns * STEPS == pytest.approx(columns + right, abs=1e-6)


def test_surfaces_are_weighted_and_missing_ones_left_out():
    one, other = np.full((3, 3), 0.2), np.full((3, 3), 0.8)
    one[0, 0] = np.nan
    found = together([one, other], [1, 3])
    assert found[0, 0] == pytest.approx(0.8)
    assert found[1, 1] == pytest.approx(0.65)
    assert np.isnan(together([one, other], [3, 1])[0, 0])  # most of the weight is missing
    assert peak(np.full((3, 3), np.nan)) is None


def test_detail_is_as_wide_as_the_pixels_were(tmp_path):
    rough = np.random.default_rng(5).standard_normal((32, 32)).astype(np.float32)
    for width in (1, 2, 4, 8, 16):
        values = np.kron(rough, np.ones((width, width), np.float32))
        path = write_raster(tmp_path / f"{width}.tif", values)
        assert detail(Source("Image", Input(path))) == width


def test_windows_are_bounded_whatever_the_image(tmp_path):
    path = write_raster(tmp_path / "large.tif", np.zeros((900, 1200), np.uint8) + np.arange(1200, dtype=np.uint8) % 7)
    source = Source("Image", Input(path))
    boxes = list(Windows.of(source, source, source.grid, 3.0).boxes())
    assert len(boxes) == 9
    assert {box.shape for box in boxes} == {(48, 48)}
    assert all(box.top >= 0 and box.bottom <= 900 and box.right <= 1200 for box in boxes)


def test_one_window_alone_is_not_believed():
    fine = landscape(9, 40 * STEPS)
    part = Part(0, seen(fine)[REACH : REACH + 80 : STEPS, REACH : REACH + 80 : STEPS], seen(fine))
    found = displacement([part], REACH)
    assert found.after == pytest.approx(1.0)
    assert not found.sure
    assert "single window" in found.reason
