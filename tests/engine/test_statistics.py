"""Statistics of a whole image, in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makers import write_raster
from stfusion.job import Input
from stfusion.raster.source import AlignedSource, Source
from stfusion.raster.statistics import moments, sample_pixels
from stfusion.run import Stop


def image(path: str) -> AlignedSource:
    source = Source("Fine image", Input(path))
    return AlignedSource(source, source.grid, "cubic")


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("mean", [0.0, 8000.0])
def test_moments_of_valid_pixels(tmp_path: Path, tiled: bool, mean: float) -> None:
    """A large mean with a small spread loses no digits; a band without data takes the pixel out of all bands."""
    rng = np.random.default_rng(0)
    values = (mean + rng.normal(0, 2, (2, 900, 700)) * [[[1]], [[5]]]).astype(np.float32)
    values[1, 100:300, 50:600] = np.nan
    found = moments(image(write_raster(tmp_path / "a.tif", values, tiled=tiled)), Stop())
    valid = values[:, ~np.isnan(values[1])].astype(np.float64)
    assert found.count == valid.shape[1]
    np.testing.assert_allclose(found.mean, valid.mean(axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, valid.std(axis=1), rtol=1e-12)


def test_sample_lies_on_a_lattice_of_absolute_positions(tmp_path: Path) -> None:
    values = np.arange(700 * 600, dtype=np.float32).reshape(1, 700, 600)
    expected = values[0, ::7, ::7].ravel()
    for tiled in (False, True):
        found = sample_pixels(image(write_raster(tmp_path / "a.tif", values, tiled=tiled)), 10_000, Stop())
        np.testing.assert_array_equal(np.sort(found[0]), expected)
