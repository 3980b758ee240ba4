"""K-means classification: the sample, the fit and the prediction, against scikit-learn and known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from makers import FINE, write_raster
from stfusion.classification._fit import MOST_CLASSES, Fit, Order, Trial, _silhouette, choose, fit, scaling
from stfusion.classification._image import Image
from stfusion.classification._predict import Classified, Spectra, classify
from stfusion.classification._sample import Sample, draw
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source
from stfusion.run import Stop

SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def context(threads: int = 1, seed: int = 0) -> Any:
    reporter = SimpleNamespace(progress=lambda value: None)
    return SimpleNamespace(job=SimpleNamespace(seed=seed), threads=threads, stop=Stop(), reporter=reporter)


def image_of(*inputs: Input | str) -> Image:
    """The layers on the grid of the first."""
    sources = [Source("Image", each if isinstance(each, Input) else Input(each)) for each in inputs]
    return Image([AlignedSource(source, sources[0].grid, "nearest") for source in sources])


@dataclass(frozen=True)
class Result:
    """All that came of a classification."""

    sample: Sample
    fit: Fit
    labels: np.ndarray
    certainty: np.ndarray
    spectra: Spectra


def predict(image: Image, centres: np.ndarray, scale: Sequence[float], threads: int = 1) -> tuple[np.ndarray, ...]:
    """Labels, certainty and spectra of a whole image."""
    labels = np.full(image.shape, 255, np.uint8)
    certainty = np.zeros((2, *image.shape), np.float32)

    def write(box: Box, part: Classified) -> None:
        labels[box.top : box.bottom, box.left : box.right] = part.labels
        certainty[:, box.top : box.bottom, box.left : box.right] = part.certainty

    spectra = classify(context(threads), image, centres, np.asarray(scale, float), write, (0, 100), certainty=True)
    return labels, certainty, spectra


def run(image: Image, classes: int, limit: int = 10_000, threads: int = 1, **order: Any) -> Result:
    sample = draw(context(threads, order.get("seed", 0)), image, limit, (0, 50))
    fitted = fit(sample.pixels, Order(classes, classes, **order), image.title, Stop())
    return Result(sample, fitted, *predict(image, fitted.centres, fitted.scaling.scale, threads))


def image_g(bands: int = 4) -> np.ndarray:
    """The image G of the test vectors (bands, 64, 64)."""
    b, i, j = np.mgrid[:bands, :64, :64]
    return (200 + 37 * b + (7 * i + 13 * j + 5 * b) % 64 * (b + 1) + 100 * ((i // 8 + j // 8) % 2)).astype(np.uint16)


def blobs(seed: int, classes: int, bands: int, shape: tuple[int, int], spread: float = 150) -> np.ndarray:
    """Classes in random places, as uint16 (bands, rows, columns), without zeros."""
    rng = np.random.default_rng(seed)
    means = rng.integers(1000, 9000, (classes, bands))[rng.integers(0, classes, shape)]
    return np.clip(means + rng.normal(0, spread, means.shape), 1, 65535).astype(np.uint16).transpose(2, 0, 1)


def test_seven_points() -> None:
    points = np.array([(1, 1), (1.5, 2), (3, 4), (5, 7), (3.5, 5), (4.5, 5), (3.5, 4.5)])
    found = fit(points, Order(2, 2), "The image", Stop())
    np.testing.assert_allclose(found.centres, [(1.25, 1.5), (3.9, 5.1)], rtol=1e-12)
    assert found.inertia == pytest.approx(8.525, rel=1e-12)


def test_image_of_the_test_vectors(tmp_path: Path) -> None:
    """The vectors are one of several optima that lie close, the one that this order of the pixels and seed lead to."""
    values = image_g()
    assert values.sum() == 6_295_552
    found = fit(values.reshape(4, -1).T.astype(float), Order(4, 4, restarts=10), "The image", Stop())
    expected = [
        (229.414, 286.629, 338.757, 378.943),
        (234.017, 315.034, 406.052, 507.069),
        (329.181, 388.472, 436.875, 481.056),
        (334.482, 415.964, 507.446, 608.929),
    ]
    np.testing.assert_allclose(found.centres, expected, atol=5.1e-4)
    assert found.inertia == pytest.approx(19_733_362.7, abs=0.05)
    _, _, spectra = predict(image_of(write_raster(tmp_path / "g.tif", values)), found.centres, [1] * 4)
    np.testing.assert_array_equal(spectra.counts, [1120, 928, 1152, 896])
    np.testing.assert_allclose(spectra.mean, found.centres, rtol=1e-12)
    assert spectra.inertia == pytest.approx(found.inertia, rel=1e-9)


@pytest.mark.parametrize("standardisation", ["none", "z-score", "min-max", "robust"])
def test_as_good_as_scikit_learn_on_the_whole_image(tmp_path: Path, standardisation: Any) -> None:
    """Fitted to a sixth of the pixels, the sum of squares of all of them is within one per cent."""
    values = blobs(1, 9, 5, (160, 150))
    found = run(image_of(write_raster(tmp_path / "a.tif", values)), 9, 4000, standardisation=standardisation)
    points = values.reshape(5, -1).T / found.fit.scaling.scale
    best = KMeans(9, n_init=10, random_state=1).fit(points)
    assert found.spectra.inertia < 1.01 * best.inertia_
    # The same centres label the same pixels, and the spectra are those of the labels.
    distances = ((points[:, None] - found.fit.centres / found.fit.scaling.scale) ** 2).sum(axis=2)
    labels = found.labels.ravel()
    np.testing.assert_array_equal(labels, distances.argmin(axis=1) + 1)
    first, second = np.sqrt(np.partition(distances, 1, axis=1)[:, :2].T)
    np.testing.assert_allclose(found.certainty[0].ravel(), first, rtol=1e-4, atol=1e-5 * first.max())
    np.testing.assert_allclose(found.certainty[1].ravel(), (second - first) / second, atol=1e-5)
    for number in range(9):
        own = values.reshape(5, -1)[:, labels == number + 1].astype(float)
        assert found.spectra.counts[number] == own.shape[1]
        np.testing.assert_allclose(found.spectra.mean[number], own.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found.spectra.std[number], own.std(axis=1), rtol=1e-9)
    assert found.spectra.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-9)


def test_mini_batches_come_close(tmp_path: Path) -> None:
    image = image_of(write_raster(tmp_path / "a.tif", blobs(2, 5, 4, (120, 130))))
    full, batches = (run(image, 5, algorithm=algorithm) for algorithm in ("full", "mini-batch"))
    assert full.fit.inertia <= batches.fit.inertia < 1.05 * full.fit.inertia
    assert not np.array_equal(full.fit.centres, batches.fit.centres)


def test_neither_threads_nor_parts_nor_the_file_matter(tmp_path: Path) -> None:
    values = blobs(3, 6, 3, (700, 600))
    values[:, 100:300, 50:600] = 0
    paths = [
        write_raster(tmp_path / "rows.tif", values, nodata=0),
        write_raster(tmp_path / "tiles.tif", values, nodata=0, tiled=True, blockxsize=256, blockysize=128),
        write_raster(tmp_path / "real.tif", np.where(values == 0, np.nan, values).astype(np.float32)),
    ]
    first, *others = [run(image_of(path), 6, 5000, threads) for path in paths for threads in (1, 3)]
    one_part = image_of(paths[0])
    one_part.part = one_part.shape
    for other in (*others, run(one_part, 6, 5000)):
        np.testing.assert_array_equal(other.sample.pixels, first.sample.pixels)
        np.testing.assert_array_equal(other.fit.centres, first.fit.centres)
        np.testing.assert_array_equal(other.labels, first.labels)
        np.testing.assert_allclose(other.spectra.mean, first.spectra.mean, rtol=1e-12)
    for single, several in zip((first, others[1]), (others[0], others[2]), strict=True):
        np.testing.assert_array_equal(several.spectra.mean, single.spectra.mean)
        assert several.spectra.inertia == single.spectra.inertia


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
def test_values_under_the_mask_change_nothing(tmp_path: Path, dtype: str) -> None:
    """Nodata in one band, outside the user's mask, NaN and infinite: the pixel is out, whatever is under it."""
    rng = np.random.default_rng(4)
    values = rng.integers(1, 120, (3, 50, 60)).astype(dtype)
    gap = np.zeros((50, 60), bool)
    gap[5:20, 10:30] = True
    mask = np.zeros((1, 50, 60), np.uint8)
    mask[0, 30:, 40:] = 1
    results = []
    for filling in (3, 121):
        changed = values.copy()
        changed[:, gap | (mask[0] > 0)] = filling
        changed[1, gap] = 0
        if changed.dtype.kind == "f":
            changed[2, 0, :] = np.nan
            changed[0, 1, :] = np.inf
        path = write_raster(tmp_path / f"{filling}.tif", changed, nodata=0)
        results.append(run(image_of(Input(path, mask=write_raster(tmp_path / "mask.tif", mask))), 4))
    first, second = results
    np.testing.assert_array_equal(first.fit.centres, second.fit.centres)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.spectra.std, second.spectra.std)
    outside = gap | (mask[0] > 0)
    outside[:2] |= values.dtype.kind == "f"
    np.testing.assert_array_equal(first.labels == 0, outside)
    np.testing.assert_array_equal(np.isnan(first.certainty), [outside, outside])
    assert first.sample.valid == first.spectra.counts.sum() == (~outside).sum()


def test_squares_do_not_overflow(tmp_path: Path) -> None:
    values = np.array([[[1, 2, 65_534, 65_535, 30_000, 30_001]]] * 3, np.uint16)
    found = run(image_of(write_raster(tmp_path / "a.tif", values)), 3)
    np.testing.assert_array_equal(found.labels, [[1, 1, 3, 3, 2, 2]])
    np.testing.assert_allclose(found.spectra.mean, np.repeat([[1.5], [30_000.5], [65_534.5]], 3, axis=1))
    np.testing.assert_allclose(found.spectra.std, 0.5)


def test_scale_and_offset_of_the_file(tmp_path: Path) -> None:
    """Centres and spectra are in the image's unit, a negative scale included, and the classes are the same."""
    values = blobs(5, 4, 3, (60, 70))
    plain = image_of(write_raster(tmp_path / "a.tif", values))
    scales, offsets = np.array([1e-4, 2e-4, -1e-4]), np.array([-0.1, 0, 2.0])
    scaled = image_of(write_raster(tmp_path / "b.tif", values, scales=scales, offsets=offsets))
    centres = run(plain, 4).fit.centres
    weights = np.array([1.0, 2.0, 1.0])
    labels, _, spectra = predict(plain, centres, 1 / weights)
    same, _, physical = predict(scaled, centres * scales + offsets, [1e-4] * 3)
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_allclose(physical.mean, spectra.mean * scales + offsets, rtol=1e-9)
    np.testing.assert_allclose(physical.std, spectra.std * np.abs(scales), rtol=1e-9)
    sample = draw(context(), scaled, 10**6, (0, 1))
    np.testing.assert_allclose(
        np.sort(sample.pixels, axis=0), np.sort((values.reshape(3, -1).T * scales + offsets), axis=0), rtol=1e-12
    )


def test_bands_of_several_layers(tmp_path: Path) -> None:
    """Layers of one type, of two types, and one on a coarser grid give the image that they are together."""
    values = blobs(6, 5, 4, (64, 60))
    coarse = np.kron(values[3:, ::4, ::4], np.ones((4, 4), np.uint16))
    whole = run(image_of(write_raster(tmp_path / "all.tif", np.concatenate([values[:3], coarse]))), 5)
    front = Input(write_raster(tmp_path / "front.tif", values), bands=(1, 2))
    third = {kind: write_raster(tmp_path / f"{kind}.tif", values[2:3].astype(kind)) for kind in ("uint16", "float32")}
    last = {
        "fine": write_raster(tmp_path / "fine.tif", coarse),
        "coarse": write_raster(tmp_path / "coarse.tif", coarse[:, ::4, ::4], FINE @ FINE.scale(4)),
    }
    for kind, grid in (("uint16", "fine"), ("float32", "fine"), ("uint16", "coarse")):
        found = run(image_of(front, third[kind], last[grid]), 5)
        np.testing.assert_array_equal(found.labels, whole.labels)
        np.testing.assert_allclose(found.fit.centres, whole.fit.centres)


def test_one_band_and_a_constant_band(tmp_path: Path) -> None:
    band = blobs(7, 3, 1, (40, 50), spread=5)
    alone = run(image_of(write_raster(tmp_path / "a.tif", band)), 3, standardisation="z-score")
    both = np.concatenate([band, np.full_like(band, 77)])
    found = run(image_of(write_raster(tmp_path / "b.tif", both)), 3, standardisation="z-score")
    assert found.fit.scaling.scale[1] == 1
    np.testing.assert_array_equal(found.labels, alone.labels)
    np.testing.assert_allclose(found.fit.centres[:, 1], 77)


@pytest.mark.parametrize("kind", ["z-score", "min-max", "robust"])
def test_scale_of_a_constant_band_is_one(kind: Any) -> None:
    pixels = np.column_stack([np.full(999, 0.1), np.linspace(0, 8, 999)])
    found = scaling(pixels, kind)
    assert found.scale[0] == 1
    expected = {"z-score": (4, pixels[:, 1].std()), "min-max": (0, 8), "robust": (4, 4)}[kind]
    np.testing.assert_allclose((found.offset[1], found.scale[1]), expected)


def test_one_class(tmp_path: Path) -> None:
    values = blobs(8, 3, 2, (30, 31))
    found = run(image_of(write_raster(tmp_path / "a.tif", values)), 1)
    np.testing.assert_allclose(found.fit.centres[0], values.reshape(2, -1).mean(axis=1))
    assert (found.labels == 1).all()
    assert (found.certainty[1] == 1).all()


def test_as_many_classes_as_a_byte_holds(tmp_path: Path) -> None:
    values = (np.arange(300 * 4, dtype=np.uint16).reshape(1, 30, 40) // 4) * 100
    found = run(image_of(write_raster(tmp_path / "a.tif", values)), MOST_CLASSES, restarts=1)
    assert found.labels.max() == MOST_CLASSES
    assert (found.spectra.counts > 0).all()


def test_the_sample_represents_the_scene(tmp_path: Path) -> None:
    """Each pixel is as likely as any other, wherever the gaps are, and another seed draws others."""
    rows, columns = 300, 700
    values = np.arange(rows * columns, dtype=np.float32).reshape(1, rows, columns)
    values[:, :150, :] = np.nan
    image = image_of(write_raster(tmp_path / "a.tif", values))
    drawn = draw(context(), image, 2000, (0, 1))
    places = drawn.pixels[:, 0].astype(int)
    assert drawn.valid == 150 * columns
    assert len(np.unique(places)) == 2000
    assert places.min() >= 150 * columns
    quarters = np.histogram2d(places // columns, places % columns, (2, 2), ((150, 300), (0, 700)))[0]
    assert np.abs(quarters - 500).max() < 5 * 500**0.5
    # The first of them are spread as all are: a part of the sample is a sample.
    assert abs(np.mean(places[:500] % columns) - 350) < 5 * 202 / 500**0.5
    other = draw(context(seed=1), image, 2000, (0, 1)).pixels[:, 0]
    assert len(np.intersect1d(other, drawn.pixels[:, 0])) < 100
    everything = draw(context(), image, 10**9, (0, 1)).pixels[:, 0]
    np.testing.assert_array_equal(np.sort(everything), np.arange(150 * columns, rows * columns))


@SETTINGS
@given(
    seed=st.integers(0, 2**32), bands=st.integers(1, 4), classes=st.integers(1, 6), dtype=st.sampled_from("BHhf"),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 600)),
)
def test_every_pixel_gets_the_nearest_centre(
    tmp_path: Path, seed: int, bands: int, classes: int, dtype: str, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 120, (bands, *shape)).astype(dtype)
    image = image_of(write_raster(tmp_path / "a.tif", values, nodata=0))
    # In steps that float32 holds: which of two is nearer does not hang on rounding, and equals are equal.
    centres, scale = rng.integers(0, 120, (classes, bands)) / 2, 2.0 ** rng.integers(-2, 3, bands)
    labels, _, spectra = predict(image, centres, scale)
    points = values.transpose(1, 2, 0)[..., None, :] / scale
    expected = ((points - centres / scale) ** 2).sum(axis=-1).argmin(axis=-1) + 1
    expected[(values == 0).any(axis=0)] = 0
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(spectra.counts, np.bincount(expected.ravel(), minlength=classes + 1)[1:])
    np.testing.assert_array_equal(np.isnan(spectra.mean[:, 0]), spectra.counts == 0)


def test_the_number_of_classes_is_chosen(tmp_path: Path) -> None:
    sample = draw(context(), image_of(write_raster(tmp_path / "a.tif", blobs(9, 4, 3, (90, 80)))), 10**5, (0, 1))
    for choice in ("silhouette", "elbow"):
        found = fit(sample.pixels, Order(2, 7, choice=choice), "The image", Stop())
        assert len(found.centres) == 4
        assert [trial.classes for trial in found.trials] == [2, 3, 4, 5, 6, 7]
        sums = [trial.inertia for trial in found.trials]
        assert sums == sorted(sums, reverse=True)
        assert found.inertia == sums[2]
    from sklearn.metrics import silhouette_score

    points = sample.pixels[:2400]
    (trial, _) = fit(points, Order(4, 5), "The image", Stop()).trials
    labels = KMeans(4, n_init=5, random_state=0).fit(points).labels_
    assert trial.silhouette == pytest.approx(silhouette_score(points, labels), abs=1e-9)


def test_choice_of_equals_and_of_unknowns() -> None:
    trials = [Trial(1, 100.0, None), Trial(2, 60.0, 0.5), Trial(3, 20.0, 0.5)]
    assert choose(trials, "silhouette") == 2
    assert choose(trials, "elbow") == 1
    assert choose([*trials, Trial(4, 15.0, 0.4)], "elbow") == 3


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        (4, 4, r"The image has 3 different pixels \(of 5000 sampled\) and 4 classes are asked for; take fewer"),
        (2, 9, r"The image has 3 different pixels .* and 9 classes"),
        (0, 3, r"0 to 3 classes are asked for; the numbers have to be between 1 and 254"),
        (3, 2, r"3 to 2 classes are asked for"),
        (2, 255, r"2 to 255 classes"),
        (1, 3, r"One class has no silhouette"),
    ],
)
def test_numbers_of_classes_that_cannot_be(first: int, last: int, sentence: str) -> None:
    pixels = np.ones((5000, 2))
    # The two others stand late, where a first glance does not see them.
    pixels[4990:, 0] = 2
    pixels[4995:, 0] = 3
    assert len(fit(pixels, Order(3, 3), "The image", Stop()).centres) == 3
    with pytest.raises(UserError, match=sentence):
        fit(pixels, Order(first, last), "The image", Stop())


def test_an_image_without_valid_pixels(tmp_path: Path) -> None:
    image = image_of(write_raster(tmp_path / "a.tif", np.zeros((2, 20, 20), np.uint16), nodata=0))
    sample = draw(context(), image, 100, (0, 1))
    assert sample.pixels.shape == (0, 2)
    with pytest.raises(UserError, match=r"Image 'a.tif' has no valid pixel; check its nodata value and the mask"):
        fit(sample.pixels, Order(3, 3), image.title, Stop())


def test_parts_that_are_kept_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the memory is read again, and neither changes the result."""
    path = write_raster(tmp_path / "a.tif", blobs(11, 4, 3, (900, 600)))
    source = Source("Layer", Input(path))
    layers = [AlignedSource(source, source.grid, "nearest")]
    read: list[Box] = []
    original = Image._read
    monkeypatch.setattr(Image, "_read", lambda self, box: read.append(box) or original(self, box))
    found = []
    for memory, times in ((0, 6), (10**9, 3), (1_900_000, 5)):
        read.clear()
        found.append(run(Image(layers, memory=memory), 4, 5000))
        assert len(read) == times
    for other in found[1:]:
        np.testing.assert_array_equal(other.labels, found[0].labels)
        np.testing.assert_array_equal(other.sample.pixels, found[0].sample.pixels)


def test_silhouette_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(3)
    points, labels = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    labels[labels == 3] = 2
    labels[7] = 5
    assert _silhouette(points, labels) == pytest.approx(silhouette_score(points, labels), abs=1e-12)
    assert _silhouette(np.zeros((9, 2)), np.arange(9) % 2) == 0
    assert _silhouette(points, np.zeros(200, int)) is None
    assert _silhouette(points, np.arange(200)) is None
