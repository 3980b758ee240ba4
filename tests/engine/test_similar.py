"""Means over the most similar pixels of a window against a search that sorts all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import quantised
from stfusion.fusion._similar import Similarity, distance_weights, similar_means
from stfusion.raster.grids import Box
from stfusion.raster.tiles import Tile


def literal(
    similarity: Similarity, guides: np.ndarray, scales: np.ndarray | None, images: np.ndarray, y: int, x: int
) -> tuple[np.ndarray, int]:
    """Means of the images over the pixels most similar to one, and their number."""
    half, found = similarity.halo, []
    for i in range(max(0, y - half), min(guides.shape[1], y + half + 1)):
        for j in range(max(0, x - half), min(guides.shape[2], x + half + 1)):
            difference = np.abs(guides[:, i, j].astype(float) - guides[:, y, x])
            if np.isnan(difference).any():
                continue
            if similarity.limits is not None and (difference > similarity.limits).any():
                continue
            scaled = difference**similarity.power * (1 if scales is None else scales[:, y, x])
            if scaled.sum() <= similarity.most:
                found.append((scaled.sum(), similarity.spatial[i - y + half, j - x + half], i, j))
    if not found:
        return np.full(len(images), np.nan), 0
    last = sorted(found)[: similarity.count][-1][0]
    chosen = [(weight, i, j) for key, weight, i, j in found if key <= last]
    total = sum(float(weight) for weight, _, _ in chosen)
    return sum(float(weight) * images[:, i, j].astype(float) for weight, i, j in chosen) / total, len(chosen)


def scene(seed: int, bands: int, shape: tuple[int, int], levels: int, gaps: float) -> tuple[np.ndarray, np.ndarray]:
    """Guides of few levels, so that many pixels tie, and two images, with the same gaps."""
    rng = np.random.default_rng(seed)
    guides = (rng.integers(0, levels, (bands, *shape)) / levels).astype(np.float32)
    images = quantised(rng, 2, *shape)
    missing = rng.random(shape) < gaps
    guides[:, missing] = images[:, missing] = np.nan
    return guides, images


def whole(shape: tuple[int, ...]) -> Tile:
    box = Box(0, shape[-2], 0, shape[-1])
    return Tile(box, box)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 5),
    shape=st.tuples(st.integers(7, 14), st.integers(7, 14)),
    levels=st.sampled_from([2, 8, 512]),
    gaps=st.sampled_from([0.0, 0.2, 0.95]),
    window=st.sampled_from([1, 3, 5, 7]),
    count=st.sampled_from([1, 4, 20, 200]),
    power=st.sampled_from([1, 2]),
    limited=st.booleans(),
    scaled=st.booleans(),
    most=st.sampled_from([np.inf, 0.5]),
)
def test_equals_a_search_that_sorts(
    seed: int,
    bands: int,
    shape: tuple[int, int],
    levels: int,
    gaps: float,
    window: int,
    count: int,
    power: int,
    limited: bool,
    scaled: bool,
    most: float,
) -> None:
    guides, images = scene(seed, bands, shape, levels, gaps)
    limits = np.full(bands, 0.375, np.float32) if limited else None
    scales = np.random.default_rng(seed).choice(np.array([0.5, 1, 4], np.float32), guides.shape) if scaled else None
    similarity = Similarity(count, limits, power, distance_weights(window), most=most)
    means, numbers = similar_means(similarity, guides, scales, images, whole(shape))
    for y, x in np.ndindex(shape):
        expected, number = literal(similarity, guides, scales, images, y, x)
        assert numbers[y, x] == number
        np.testing.assert_allclose(means[:, y, x], expected, rtol=1e-6)


@pytest.mark.parametrize("inner", [Box(0, 9, 0, 30), Box(13, 31, 8, 19), Box(25, 40, 0, 30), Box(17, 18, 29, 30)])
def test_a_tile_has_the_bits_of_the_whole(inner: Box) -> None:
    guides, images = scene(1, 3, (40, 30), 512, 0.1)
    similarity = Similarity(12, None, 2, distance_weights(9))
    means, numbers = similar_means(similarity, guides, None, images, whole(guides.shape))
    outer = inner.grown(similarity.halo, (40, 30))
    part = (slice(None), slice(outer.top, outer.bottom), slice(outer.left, outer.right))
    tile_means, tile_numbers = similar_means(
        similarity, guides[part].copy(), None, images[part].copy(), Tile(inner, outer)
    )
    place = (slice(inner.top, inner.bottom), slice(inner.left, inner.right))
    np.testing.assert_array_equal(tile_means, means[:, place[0], place[1]])
    np.testing.assert_array_equal(tile_numbers, numbers[place])


def test_progress_adds_up_and_a_stop_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strips between two looks at the cancel flag do not change the result."""
    from stfusion.fusion import _similar

    guides, images = scene(2, 2, (20, 17), 512, 0.1)
    similarity = Similarity(5, None, 1, distance_weights(7))
    expected, _ = similar_means(similarity, guides, None, images, whole(guides.shape))
    monkeypatch.setattr(_similar, "_VISITS", 49 * 17 * 3)
    told: list[float] = []
    box = Box(0, 20, 0, 17)
    means, _ = similar_means(similarity, guides, None, images, Tile(box, box, told.append), share=0.5)
    np.testing.assert_array_equal(means, expected)
    assert len(told) == 7
    assert sum(told) == pytest.approx(0.5 * 20 * 17)

    def stop(_: float) -> Any:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        similar_means(similarity, guides, None, images, Tile(box, box, stop))


def test_weights_fall_with_the_distance() -> None:
    weights = distance_weights(5)
    assert weights[2, 2] == 1
    assert weights[2, 4] == pytest.approx(1 / (1 + 2 / 2.5))
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])
