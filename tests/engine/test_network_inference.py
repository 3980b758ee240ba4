"""A network on a whole scene: patches without seams, gaps, noise by position, samples, and memory that is short."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from makers import FINE, Said, write_raster
from stfusion import _proof_torch
from stfusion.errors import OutOfMemory
from stfusion.fusion._scene import Scene
from stfusion.job import Input
from stfusion.networks._batch import FusionBatch
from stfusion.networks._inputs import FusionReader, Reader
from stfusion.networks._lattice import Strip, read_mirrored, rows_of_patches, starts, taper
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling
from stfusion.networks._normalisation import Normalisation
from stfusion.networks._predict import Drawing, Meter, Predictor, TooLarge, layout_that_fits, mosaic
from stfusion.raster.grids import Box
from stfusion.raster.noise import field
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.run import Stop
from toy_network import Hungry, Noisy, Toy

EXACT = Layout(patch=24, margin=2, ramp=0, multiple=4)
ONCE = Drawing()


@pytest.fixture
def images(tmp_path: Path) -> dict[str, AlignedSource]:
    """Three random images of two bands, 50 x 61 pixels, on one grid."""
    rng = np.random.default_rng(5)
    sources = {}
    for name in ("fine", "coarse", "target", "fine2", "coarse2"):
        path = write_raster(tmp_path / f"{name}.tif", rng.random((2, 50, 61), np.float32))
        sources[name] = Source(name, Input(path))
    return {name: align(source, sources["fine"], "cubic") for name, source in sources.items()}


def reader(images: dict[str, AlignedSource], pairs: int = 1) -> Reader:
    scene = Scene(images["fine"].source, [], images["target"], images=images)
    fine = [images[name] for name in ("fine", "fine2")[:pairs]]
    coarse = [images[name] for name in ("coarse", "coarse2")[:pairs]]
    return FusionReader(scene, fine, coarse, Normalisation("stored", (0.1, 0.2), (2.0, 4.0)))


def fused(
    network: FusionNetwork, source: Reader, layout: Layout = EXACT, drawing: Drawing = ONCE, batch: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    predictor = Predictor(network, torch.device("cpu"), lambda count: None, batch)
    parts = list(mosaic(predictor, source, layout, drawing))
    spreads = [spread for _, _, spread in parts if spread is not None]
    tops = [(box.top, box.bottom) for box, _, _ in parts]
    assert [top for top, _ in tops] == [0, *(bottom for _, bottom in tops[:-1])]
    values = np.concatenate([values for _, values, _ in parts], axis=1)
    return values, np.concatenate(spreads, axis=1) if spreads else None


def whole(images: dict[str, AlignedSource]) -> np.ndarray:
    """What the toy gives for the image in one piece, mirrored by two pixels."""
    box = Box(-2, 52, -2, 63)
    fine, coarse, target = (read_mirrored(images[name].read, box, (50, 61)) for name in ("fine", "coarse", "target"))
    windows = np.lib.stride_tricks.sliding_window_view(target - coarse, (5, 5), axis=(1, 2))
    return fine[:, 2:-2, 2:-2] + windows.mean(axis=(3, 4))


layouts = st.builds(
    Layout, patch=st.sampled_from([16, 20, 32, 48]), margin=st.integers(0, 3), ramp=st.integers(0, 4),
    multiple=st.just(1),
)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), layouts)
def test_patches_put_together_are_the_image(shape: tuple[int, int], layout: Layout) -> None:
    """Whatever the sizes, the parts of an image, blended, are the image, and every row is given once."""
    image = np.random.default_rng(0).random((2, *shape), np.float32)
    strip, lines, rows = Strip(2, shape, layout), list(rows_of_patches(shape, layout)), []
    everything = Box(0, shape[0], 0, shape[1])
    for number, line in enumerate(lines):
        for box in line:
            assert box.shape == (layout.patch, layout.patch)
            strip.add(box, read_mirrored(lambda inside: image[(slice(None), *inside.within(everything))], box, shape))
        last = number + 1 == len(lines)
        rows.append(strip.flush(shape[0] if last else lines[number + 1][0].top + layout.margin)[1])
    np.testing.assert_allclose(np.concatenate(rows, axis=1), image, atol=1e-6)


def test_where_patches_lie_follows_from_the_image_alone() -> None:
    layout = Layout(patch=256, margin=16, ramp=32)
    assert starts(200, layout) == [-16]
    assert starts(224, layout) == [-16]
    assert starts(225, layout) == [-16, -15]
    assert starts(1000, layout) == [-16, 176, 368, 560, 752, 760]


def test_the_taper_falls_to_nothing_in_the_margin_and_adds_up_to_one_over_the_ramp() -> None:
    weight = taper(Layout(patch=32, margin=2, ramp=6))[16]
    assert (weight[:2] == 0).all()
    assert (weight[8:-8] == 1).all()
    np.testing.assert_allclose(weight[2:8] + weight[-8:-2], 1, atol=1e-6)


def test_the_result_is_that_of_the_whole_image(images: dict[str, AlignedSource]) -> None:
    values, spread = fused(Toy(Form(bands=2)), reader(images))
    assert spread is None
    np.testing.assert_allclose(values, whole(images), atol=1e-5)


@pytest.mark.parametrize("bands", [1, 2])
def test_neither_patch_nor_batch_nor_one_band_at_a_time_changes_it(
    images: dict[str, AlignedSource], bands: int
) -> None:
    for layout in (EXACT, Layout(patch=16, margin=2, ramp=0), Layout(patch=40, margin=3, ramp=5)):
        for batch in (1, 5):
            values, _ = fused(Toy(Form(bands=bands)), reader(images), layout, batch=batch)
            np.testing.assert_allclose(values, whole(images), atol=1e-5)


def with_gap(images: dict[str, AlignedSource], name: str, part: tuple[slice, slice]) -> dict[str, AlignedSource]:
    """The images with a hole in one of them."""
    path = Path(images[name].source.path)
    values = images[name].read(Box(0, 50, 0, 61))
    values[:, part[0], part[1]] = np.nan
    source = Source(name, Input(write_raster(path.with_name("gap.tif"), values)))
    return {**images, name: align(source, images["fine"].source, "cubic")}


@pytest.mark.parametrize("name", ["fine", "coarse", "target"])
def test_a_gap_stays_a_gap_and_reaches_no_farther_than_the_network(
    images: dict[str, AlignedSource], name: str
) -> None:
    part = (slice(10, 20), slice(30, 61))
    values, _ = fused(Toy(Form(bands=2)), reader(with_gap(images, name, part)))
    holes = np.zeros((50, 61), bool)
    holes[part] = True
    np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(holes, values.shape))
    near = np.zeros_like(holes)
    near[8:22, 28:] = True
    np.testing.assert_allclose(values[:, ~near], whole(images)[:, ~near], atol=1e-5)


def test_patches_without_any_pixel_to_predict_are_left_out(images: dict[str, AlignedSource]) -> None:
    values, _ = fused(Toy(Form(bands=2)), reader(with_gap(images, "target", (slice(0, 50), slice(0, 40)))))
    assert np.isnan(values[:, :, :40]).all()
    assert not np.isnan(values[:, :, 40:]).any()


def test_where_one_pair_has_a_gap_the_other_serves(images: dict[str, AlignedSource]) -> None:
    part = (slice(10, 20), slice(30, 50))
    values, _ = fused(Toy(Form(bands=2, pairs=2)), reader(with_gap(images, "fine", part), pairs=2))
    assert not np.isnan(values).any()
    swapped = {**images, "fine": images["fine2"], "coarse": images["coarse2"]}
    inner = (slice(None), slice(12, 18), slice(32, 48))
    np.testing.assert_allclose(values[inner], whole(swapped)[inner], atol=1e-5)


def test_a_network_for_one_pair_predicts_from_each_of_two(images: dict[str, AlignedSource]) -> None:
    """The two predictions are weighted by how little changed around a pixel since the pair."""
    network, box, pairs = Toy(Form(bands=2)), Box(0, 50, 0, 61), (("fine", "coarse"), ("fine2", "coarse2"))
    layout = Layout(patch=64, margin=20, ramp=0)
    values, _ = fused(network, reader(images, pairs=2), layout)
    swapped = {**images, "fine": images["fine2"], "coarse": images["coarse2"]}
    changes = [np.abs(images["target"].read(box) - images[coarse].read(box)) for _, coarse in pairs]
    scale = np.array([2.0, 4.0])[:, None, None]
    near, far = (change[:, 5:36, 15:46].mean(axis=(1, 2)) / scale[:, 0, 0] + 1e-4 for change in changes)
    share = far / (near + far)
    one, two = whole(images)[:, 20, 30], whole(swapped)[:, 20, 30]
    np.testing.assert_allclose(values[:, 20, 30], share * one + (1 - share) * two, atol=1e-5)


def test_noise_belongs_to_the_place() -> None:
    large = field(7, 1, 2, 3, Box(-40, 150, -10, 200))
    for box in (Box(-5, 20, 0, 70), Box(60, 130, 63, 65), Box(149, 150, -10, 200)):
        np.testing.assert_array_equal(
            field(7, 1, 2, 3, box), large[(slice(None), *box.within(Box(-40, 150, -10, 200)))]
        )


def test_noise_is_normal_and_differs_by_seed_sample_step_band_and_block() -> None:
    box = Box(0, 256, 0, 256)
    fields = [field(*key, 2, box) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    drawn = np.stack([*fields, *(np.roll(fields[0], 64, axis) for axis in (1, 2))]).reshape(12, -1)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(drawn.std(axis=1), 1, atol=0.02)
    assert np.abs(np.corrcoef(drawn) - np.eye(12)).max() < 0.02


@pytest.mark.parametrize("bands", [1, 2])
def test_samples_give_mean_and_spread(images: dict[str, AlignedSource], bands: int) -> None:
    drawing = Drawing(seed=3, samples=4, steps=2)
    for layout in (EXACT, Layout(patch=40, margin=0, ramp=6)):
        values, spread = fused(Noisy(Form(bands=bands)), reader(images), layout, drawing)
        noise = np.stack([field(3, sample, 0, 2, Box(0, 50, 0, 61)) for sample in range(4)])
        scale = np.array([2.0, 4.0])[:, None, None]
        fine = images["fine"].read(Box(0, 50, 0, 61))
        np.testing.assert_allclose(values, fine + 0.1 * scale * noise.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(spread, 0.1 * scale * noise.std(axis=0, ddof=1), atol=1e-4)


def test_short_memory_halves_the_batch(images: dict[str, AlignedSource]) -> None:
    predictor = Predictor(Hungry(Form(bands=1)), torch.device("cpu"), lambda count: None, 7)
    values = np.concatenate([v for _, v, _ in mosaic(predictor, reader(images), EXACT, Drawing())], axis=1)
    np.testing.assert_allclose(values, whole(images), atol=1e-5)
    assert predictor.batch == 2
    assert "halved to 2" in predictor.notes[-1]


def test_a_patch_that_is_too_large_is_told(images: dict[str, AlignedSource], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hungry, "side", 20)
    with pytest.raises(TooLarge):
        fused(Hungry(Form(bands=1)), reader(images))


def test_another_failure_is_not_taken_for_short_memory(images: dict[str, AlignedSource]) -> None:
    class Broken(Toy):
        def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        fused(Broken(Form(bands=1)), reader(images))


def context() -> Any:
    return SimpleNamespace(reporter=Said(), stop=Stop())


def test_patches_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "layout", Layout(patch=256, margin=8, ramp=0, multiple=8))
    monkeypatch.setattr(Toy, "pixel_bytes", 1000)
    run = context()
    assert layout_that_fits(run, Toy(Form()), 256 * 256 * 1000) == Toy.layout
    assert run.reporter.of("warning") == []
    assert layout_that_fits(run, Toy(Form()), 256 * 256 * 1000 - 1).patch == 128
    assert layout_that_fits(run, Toy(Form()), 2**40, smaller=2).patch == 64
    assert "64 instead of 256 pixels" in run.reporter.of("warning")[-1]
    assert "the same" in run.reporter.of("warning")[-1]
    with pytest.raises(OutOfMemory, match="raise the memory limit"):
        layout_that_fits(run, Toy(Form()), 1000)


def test_the_meter_tells_progress_and_announces_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    run = context()
    meter = Meter(run, 100, 10.0, 90.0)
    for _ in range(100):
        clock[0] += 3.0
        meter.advance()
    assert run.reporter.of("progress") == [pytest.approx(10 + 0.8 * n, abs=0.06) for n in range(1, 101)]
    assert run.reporter.of("log") == ["This takes about 5 min."]


def test_coarse_images_on_their_own_grid(tmp_path: Path) -> None:
    """Coarse images come to the fine grid as they do in every method; patches read them beyond their own pixels."""
    rng = np.random.default_rng(1)
    fine = Source("fine", Input(write_raster(tmp_path / "f.tif", rng.random((2, 48, 48), np.float32))))
    coarse, target = (
        Source(name, Input(write_raster(tmp_path / f"{name}.tif", rng.random((2, 6, 6), np.float32),
                                        FINE * Affine.scale(8))))
        for name in ("coarse", "target")
    )
    found = {source.title: align(source, fine, "cubic") for source in (fine, coarse, target)}
    values, _ = fused(Toy(Form(bands=2)), reader(found))
    assert not np.isnan(values).any()


def test_a_device_is_trusted_when_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _proof_torch.fault(torch.device("cpu")) == ""
    assert "meta" in _proof_torch.fault(torch.device("meta"))
    monkeypatch.setattr(_proof_torch.functional, "conv2d", lambda image, kernel: torch.zeros(1, 1, 30, 30))
    (device,) = _proof_torch.devices()
    assert (device["name"], device["ok"], device["reason"]) == ("cpu (torch)", False, "it computed a wrong result")
