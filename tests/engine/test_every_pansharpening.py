"""What holds for every classic pansharpening method, whatever the tiles, gaps, types and details."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pansharpened import EQUAL, METHODS, known, sharpen, write_scene
from stfusion.pansharpening import _moments, _sharpen


@pytest.mark.parametrize("method", METHODS)
def test_tiles_and_threads_make_no_difference(tmp_path, method, monkeypatch):
    scene = known()
    holed = np.random.default_rng(1).random(scene.pan.shape) < 0.01
    scene = replace(scene, pan=np.where(holed, np.nan, scene.pan))
    paths = write_scene(tmp_path, scene)
    whole, _ = sharpen(tmp_path, method, paths, {"threads": 1})
    monkeypatch.setattr(_sharpen, "tile_shape", lambda *given: (40, 56))
    monkeypatch.setattr(_sharpen, "_ROWS", 12)
    tiled, _ = sharpen(tmp_path, method, paths, {"threads": 3})
    np.testing.assert_array_equal(tiled, whole)
    monkeypatch.setattr(_moments, "_PART", (24, 40))
    other, _ = sharpen(tmp_path, method, paths)
    np.testing.assert_allclose(other, whole, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_invalid_changes_nothing_and_spreads_nowhere(tmp_path, method):
    """Gaps in either image, whatever is stored there, are gaps of the result and of no pixel beside them."""
    scene = known()
    pan_gap, gap = np.zeros(scene.pan.shape, bool), np.zeros(scene.ms.shape[1:], bool)
    pan_gap[30:41, 50:67] = pan_gap[0, :] = gap[20:23, 4:6] = True
    found = []
    for number, filler in enumerate((-1.0, 60_000.0)):
        folder = tmp_path / str(number)
        wild = replace(scene, ms=np.where(gap, filler, scene.ms), pan=np.where(pan_gap, filler, scene.pan))
        paths = write_scene(folder, wild, nodata=filler)
        found.append(sharpen(folder, method, paths)[0])
    np.testing.assert_array_equal(*[np.isnan(each) for each in found])
    np.testing.assert_array_equal(np.isnan(found[0][0]), pan_gap | np.kron(gap, np.ones((4, 4), bool)))
    valid = ~np.isnan(found[0])
    np.testing.assert_array_equal(found[0][valid], found[1][valid])
    whole, _ = sharpen(tmp_path, method, write_scene(tmp_path / "whole", scene))
    # Without a tenth of the pixels, the rest comes out much as with them.
    assert np.abs(found[0] - whole)[valid].mean() < 0.02 * np.abs(whole).mean()


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_are_the_rounded_real_ones(tmp_path, method):
    scene = known()
    scene = replace(scene, ms=np.rint(scene.ms).astype(np.uint16), pan=scene.pan.astype(np.int16))
    paths = write_scene(tmp_path, scene)
    real, _ = sharpen(tmp_path, method, paths)
    whole, _ = sharpen(tmp_path, method, paths, output_type="multispectral")
    assert whole.dtype == np.uint16
    np.testing.assert_array_equal(whole, np.clip(np.rint(real), 0, 65534))


@pytest.mark.parametrize("method", METHODS)
def test_a_panchromatic_image_without_detail_adds_none(tmp_path, method):
    """The result varies as the expanded bands do; a dark pixel divides by nothing."""
    scene = known()
    flat = replace(scene, pan=np.full_like(scene.pan, 400.0))
    options = EQUAL if method in ("brovey", "gihs") else {}
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path, flat), **options)
    assert np.isfinite(found).all()
