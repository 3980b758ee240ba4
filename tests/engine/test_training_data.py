"""Samples to learn from: lazy, stateless, valid, and without anything of what is held out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stfusion.errors import UserError
from stfusion.raster.source import Source
from stfusion.training import _places
from stfusion.training._batches import batch, batches, validation_batches
from stfusion.training._places import OpenImages
from stfusion.training._wanted import Wanted
from training_scenes import DAYS, PLAIN, coarsened, layers, opened, same, scene, stored, surface


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """Fine and coarse layers of three dates."""
    return scene(tmp_path_factory.mktemp("scene"))


def test_a_sample_is_what_the_files_hold(layered):
    fine, coarse = layered
    data, _, _ = opened(PLAIN, fine, coarse)
    assert (data.bands, data.ratio) == (2, (4.0, 4.0))
    assert data.normalisation.kind == "stored"
    files = dict(zip(DAYS, (fine.path, *fine.more), strict=True))
    for number in range(8):
        sample = data.held(number)
        spot = sample.spot
        (reference,) = spot.dates.references
        undo = sample.normalisation.undo
        assert undo(sample.truth) == pytest.approx(stored(files[str(spot.dates.target)], spot.box), abs=1e-6)
        assert undo(sample.fine[0]) == pytest.approx(stored(files[str(reference)], spot.box), abs=1e-6)
        assert sample.normalisation == data.normalisation
        assert sample.valid.all()
        # The coarse images, on the fine grid, go along with the fine ones.
        assert np.corrcoef(sample.target.ravel(), sample.truth.ravel())[0, 1] > 0.6
        assert sample.target.shape == sample.coarse[0].shape == (2, 16, 16)


def test_what_is_held_out_has_its_real_coarse_images(layered):
    plain, _, _ = opened(PLAIN, *layered)
    simulated, _, _ = opened(replace(PLAIN, simulated=1.0), *layered)
    assert all(same(plain.held(number), simulated.held(number)) for number in range(4))
    assert not any(same(plain.draw(0, index), simulated.draw(0, index)) for index in range(4))


def test_training_samples_lie_in_what_is_not_held_out(layered):
    data, said, _ = opened(PLAIN, *layered)
    assert said == [
        "Held out for validation: the last 19 columns of the scene, after a gap of 10 pixels that is not learnt from."
    ]
    boxes = {data.draw(0, index).spot.box for index in range(60)}
    assert len(boxes) > 40
    assert max(box.right for box in boxes) <= 96 - 19 - 10
    assert {spot.box.left for spot in data.validation} == {77}


@given(st.integers(0, 9), st.integers(0, 500), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 500)), max_size=3))
@settings(deadline=None, max_examples=15)
def test_a_sample_does_not_depend_on_those_before(layered, epoch, index, before):
    wanted = Wanted(patch=16, per_band=True, changed=0.3, simulated=0.3, mirrored=True, seed=5)
    fresh, _, _ = opened(wanted, *layered)
    used, _, _ = opened(wanted, *layered)
    for drawn in before:
        used.draw(*drawn)
    assert same(fresh.draw(epoch, index), used.draw(epoch, index))


def test_samples_differ_by_epoch_index_and_seed(layered):
    data, _, _ = opened(Wanted(patch=16), *layered)
    other, _, _ = opened(Wanted(patch=16, seed=1), *layered)
    first = data.draw(0, 0)
    assert not any(same(first, sample) for sample in (data.draw(1, 0), data.draw(0, 1), other.draw(0, 0)))


def test_validation_samples_are_fixed_and_not_varied(layered):
    data, _, _ = opened(Wanted(patch=16, held_out=7), *layered)
    again, _, _ = opened(Wanted(patch=16, held_out=7), *layered)
    assert len(data.validation) == 7
    data.draw(3, 3)
    assert all(same(data.held(number), again.held(number)) for number in range(7))


def test_processes_share_the_samples_of_an_epoch(layered):
    data, _, _ = opened(Wanted(patch=16), *layered)
    alone = batch(data, 2, 1, 6)
    parts = [batch(data, 2, 1, 2, rank, 3) for rank in range(3)]
    shared = {tensor.numpy().tobytes() for part in parts for tensor in part.truth}
    assert shared == {tensor.numpy().tobytes() for tensor in alone.truth}


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batches_come_in_order_whatever_loads_them(layered, threads):
    data, _, _ = opened(Wanted(patch=16, simulated=0.5), *layered)
    wanted = [batch(data, 0, step, 2) for step in range(1, 5)]
    found = list(batches(data, 0, range(1, 5), 2, threads=threads))
    assert len(found) == 4
    assert all(one.target.equal(other.target) for one, other in zip(wanted, found, strict=True))


def test_batches_can_be_left_early(layered):
    data, _, _ = opened(Wanted(patch=16), *layered)
    found = batches(data, 0, range(100), 2)
    next(found)
    found.close()


def test_batches_have_the_form_that_networks_take(layered):
    data, _, _ = opened(Wanted(patch=16, pairs=2), *layered)
    found = batch(data, 0, 0, 3)
    assert [len(images) for images in (found.fine, found.coarse)] == [2, 2]
    assert found.truth.shape == found.fine[0].shape == (3, 2, 16, 16)
    assert found.valid.shape == (3, 1, 16, 16)
    assert str(found.valid.dtype) == "torch.bool"
    assert str(found.base().dtype) == "torch.float32"
    for sample in (data.draw(0, index) for index in range(9)):
        before, after = sample.spot.dates.references
        assert before < sample.spot.dates.target < after


def test_all_validation_batches_are_shared_out(layered):
    data, _, _ = opened(Wanted(patch=16, held_out=7), *layered)
    parts = [list(validation_batches(data, 2, rank, 2)) for rank in range(2)]
    assert [[len(samples) for samples, _ in part] for part in parts] == [[2, 2], [2, 1]]
    spots = {sample.spot for part in parts for samples, _ in part for sample in samples}
    assert spots == set(data.validation)


def test_a_network_without_coarse_images_of_the_pairs_gets_none(layered):
    data, _, _ = opened(replace(PLAIN, needs_coarse=False), *layered)
    found = batch(data, 0, 0, 2)
    assert found.coarse == ()
    assert found.target.shape == (2, 2, 16, 16)


def test_band_by_band_every_sample_has_one_band_and_the_range_of_its_scene(layered):
    data, _, _ = opened(replace(PLAIN, per_band=True), *layered)
    assert (data.bands, data.normalisation.kind, data.normalisation.scale) == (1, "scene", ())
    samples = [data.draw(0, index) for index in range(20)]
    assert {sample.spot.band for sample in samples} == {0, 1}
    assert {sample.truth.shape for sample in samples} == {(1, 16, 16)}
    assert all(sample.truth.min() > -0.2 and sample.truth.max() < 1.2 for sample in samples)
    one = samples[0]
    files = dict(zip(DAYS, (layered[0].path, *layered[0].more), strict=True))
    wanted = stored(files[str(one.spot.dates.target)], one.spot.box)[one.spot.band]
    assert one.normalisation.undo(one.truth)[0] == pytest.approx(wanted, abs=1e-6)


def test_symmetric_networks_get_a_symmetric_range(layered):
    plain, _, _ = opened(PLAIN, *layered)
    symmetric, _, _ = opened(replace(PLAIN, symmetric=True), *layered)
    assert symmetric.held(0).truth == pytest.approx(2 * plain.held(0).truth - 1, abs=1e-4)


def test_fine_layers_alone_get_simulated_coarse_images(layered):
    data, _, _ = opened(replace(PLAIN, ratio=(4.0, 6.0)), layered[0])
    assert data.ratio == (4.0, 6.0)
    for sample in (data.draw(0, index) for index in range(10)):
        assert np.corrcoef(sample.target.ravel(), sample.truth.ravel())[0, 1] > 0.5
        assert np.diff(sample.target).std() < 0.5 * np.diff(sample.truth).std()
    assert data.describe()["places"][0]["coarse"] == "simulated"


def test_a_single_pair_is_learnt_from_by_made_up_changes(tmp_path):
    fine, coarse = scene(tmp_path, days=1)
    with pytest.raises(UserError, match=r"has 1 date\(s\) with a fine and a coarse image \(2021-04-20\)"):
        opened(PLAIN, fine, coarse)
    data, _, _ = opened(replace(PLAIN, changed=1.0), fine, coarse)
    for sample in (data.draw(0, index) for index in range(20)):
        change, coarse_change = sample.truth - sample.fine[0], sample.target - sample.coarse[0]
        assert np.abs(change).mean() > 1e-3
        # The coarse images change as the fine ones do.
        error = np.abs((change - coarse_change).mean())
        assert error <= 0.5 * np.abs(change).mean() + 0.02
        whole = stored(fine.path, sample.spot.box)
        undone = [sample.normalisation.undo(image) for image in (sample.fine[0], sample.truth)]
        assert any(image == pytest.approx(whole, abs=1e-6) for image in undone)


def test_two_pairs_can_be_made_up_from_one_date(tmp_path):
    fine, coarse = scene(tmp_path, days=1)
    data, _, _ = opened(replace(PLAIN, changed=1.0, pairs=2), fine, coarse)
    sample = data.draw(0, 0)
    assert len(sample.fine) == len(sample.coarse) == 2
    assert not np.array_equal(sample.fine[0], sample.fine[1])


def test_variation_is_common_to_all_images(layered):
    """Flips and gains keep the difference of the fine images along with that of the coarse ones."""
    data, _, _ = opened(Wanted(patch=16, per_band=True, mirrored=True), *layered)
    plain, _, _ = opened(Wanted(patch=16, per_band=True, varied=False), *layered)
    gains = []
    for index in range(30):
        sample, as_it_is = data.draw(0, index), plain.draw(0, index)
        assert sample.spot.box == as_it_is.spot.box
        gain = (sample.truth.std() / as_it_is.truth.std()).item()
        for one, other in ((sample.target, as_it_is.target), (sample.fine[0], as_it_is.fine[0])):
            assert one.std() / other.std() == pytest.approx(gain, rel=1e-3)
        offsets = np.sort(sample.truth.ravel()) - np.sort(gain * as_it_is.truth.ravel())
        negative = np.sort(sample.truth.ravel()) + np.sort(gain * as_it_is.truth.ravel())[::-1]
        assert min(np.ptp(offsets), np.ptp(negative)) < 1e-4
        gains.append(gain if np.ptp(offsets) < 1e-4 else -gain)
    assert min(gains) < 0 < max(gains)
    assert len(set(np.round(np.abs(gains), 4))) > 20


class Counting:
    """Counts the pixels that are read of every file."""

    def __init__(self, monkeypatch):
        self.pixels = {}
        read = Source.read_stored

        def counted(source, box):
            self.pixels[source.path] = self.pixels.get(source.path, 0) + box.shape[0] * box.shape[1]
            return read(source, box)

        monkeypatch.setattr(Source, "read_stored", counted)


@pytest.mark.parametrize("per_band", [False, True])
def test_only_patches_are_read(tmp_path, monkeypatch, per_band):
    rows, columns = 1200, 1400
    fine = layers(tmp_path, "fine", [surface(day, rows, columns, 1) for day in range(2)])
    count = Counting(monkeypatch)
    wanted = Wanted(patch=32, per_band=per_band, held_out=2, ratio=(4.0, 4.0))
    data, _, _ = opened(wanted, fine)
    opening = max(count.pixels.values())
    # What the range is estimated from, and a few patches with their surroundings.
    assert opening < 0.12 * rows * columns
    data.draw(0, 0)
    count.pixels.clear()
    for index in range(10):
        data.draw(1, index)
    assert sum(count.pixels.values()) <= 10 * 2 * (32 + 2 * 25) ** 2


class Opened:
    """An image that is open, with so many bands."""

    def __init__(self, same_grid, bands=1):
        self.same_grid, self.bands = same_grid, range(bands)


def order_of_opening(images, keys, same_grid, part=1.0):
    made = []

    def make(key, cache_bytes):
        made.append((key, cache_bytes))
        return Opened(same_grid)

    for key in keys:
        images.get(key, part, partial(make, key))
    return made


def test_the_memory_of_open_images_is_bounded():
    images = OpenImages(3 * 2**20, 1000)
    made = order_of_opening(images, (1, 2, 3, 1, 4, 1, 2), same_grid=False)
    assert [key for key, _ in made] == [1, 2, 3, 4, 2]


def test_few_images_share_the_memory():
    assert order_of_opening(OpenImages(2**30, 4), (1,), same_grid=False, part=0.25) == [(1, 2**26)]


def test_open_files_are_bounded(monkeypatch):
    monkeypatch.setattr(_places, "MOST_OPEN", 2)
    made = order_of_opening(OpenImages(2**20, 1), (1, 2, 1, 3, 1, 2), same_grid=True)
    assert [key for key, _ in made] == [1, 2, 3, 2]


def with_values_beyond(image, first, last, value, ratio=1):
    """An image with a value in the columns of what is held out (fine columns)."""
    changed = image.copy()
    changed[:, :, first // ratio : -(-last // ratio)] = value
    return changed


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("use", [{}, {"simulated": 0.5, "changed": 0.5}])
def test_nothing_of_what_is_held_out_reaches_a_training_sample(tmp_path, real, use):
    """Samples stay the same, to the last bit, whatever is held out."""
    wanted = Wanted(patch=16, per_band=False, ratio=(4.0, 6.0), **use)
    drawn = []
    for value in (1, 60_000):
        folder = tmp_path / f"{value}"
        images = [surface(day, 64, 128, 2) for day in range(3)]
        coarse = [with_values_beyond(coarsened(image, 4), 102, 128, value, 4) for image in images]
        images = [with_values_beyond(image, 102, 128, value) for image in images]
        data, _, _ = opened(
            wanted, layers(folder, "fine", images), layers(folder, "coarse", coarse, ratio=4) if real else None
        )
        assert min(spot.box.left for spot in data.validation) == 102
        drawn.append([data.draw(0, index) for index in range(40)])
    assert all(same(*pair) for pair in zip(*drawn, strict=True))


def test_invalid_pixels_are_filled_and_told(tmp_path):
    images = [surface(day, 64, 96, 2) for day in range(3)]
    for number, image in enumerate(images):
        image[:, 10 * number : 10 * number + 4, 20:40] = 0
    data, _, _ = opened(PLAIN, layers(tmp_path, "fine", images, nodata=0))
    filled = []
    for sample in (data.draw(0, index) for index in range(150)):
        assert all(np.isfinite(image).all() for image in (*sample.fine, *sample.coarse, sample.target, sample.truth))
        assert (~sample.valid).mean() <= 0.2
        box, number = sample.spot.box, DAYS.index(str(sample.spot.dates.target))
        gaps = images[number][0, box.top : box.bottom, box.left : box.right] == 0
        assert not (gaps & sample.valid).any()
        if gaps.any():
            medians = np.median(sample.truth[:, ~gaps], axis=1)
            assert sample.truth[:, gaps] == pytest.approx(np.repeat(medians[:, None], gaps.sum(), axis=1), abs=1e-6)
            filled.append(gaps.mean())
    assert len(filled) > 3


def test_a_patch_with_too_many_gaps_is_not_used(tmp_path):
    images = [surface(day, 64, 96, 1) for day in range(2)]
    images[1][:, :, :60] = 0
    fine = layers(tmp_path, "fine", images, nodata=0)
    data, _, _ = opened(replace(PLAIN, share=0.0), fine)
    assert min(data.draw(0, index).spot.box.left for index in range(40)) >= 56


def test_no_valid_patch_is_one_sentence(tmp_path):
    images = [surface(day, 64, 96, 1) for day in range(2)]
    for image in images:
        image[:, ::2, ::2] = 0
    with pytest.raises(UserError, match="No valid patch was found: in every patch of 16 pixels"):
        opened(PLAIN, layers(tmp_path, "fine", images, nodata=0))


def test_nothing_valid_held_out_is_one_sentence(tmp_path):
    images = [surface(day, 64, 96, 1) for day in range(2)]
    for image in images:
        image[:, :, 70:] = 0
    with pytest.raises(UserError, match="No valid patch of 16 pixels is in what is held out"):
        opened(PLAIN, layers(tmp_path, "fine", images, nodata=0))


def test_an_invalid_date_is_never_drawn(tmp_path):
    images = [surface(day, 64, 96, 1) for day in range(3)]
    images[1][:] = 0
    data, _, _ = opened(replace(PLAIN, per_band=True), layers(tmp_path, "fine", images, nodata=0))
    dates = {day for index in range(30) for day in
             (data.draw(0, index).spot.dates.target, *data.draw(0, index).spot.dates.references)}
    assert sorted(map(str, dates)) == [DAYS[0], DAYS[2]]
