"""Places to learn from: several of them, masked, imagined, real, and those that cannot be learnt from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from makers import write_raster
from real_data import real_scene
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.source import Source, align
from stfusion.training import _landscapes
from stfusion.training._wanted import Wanted
from training_scenes import DAYS, PLAIN, coarsened, layers, opened, same, scene, stored, surface


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """Fine and coarse layers of three dates."""
    return scene(tmp_path_factory.mktemp("scene"))


def data_set(path, *places):
    path.write_text(json.dumps({"schema": 1, "places": places}))
    return str(path)


def plain_place(name, fine, **more):
    return {"name": name, "fine": dict(zip(DAYS, (fine.path, *fine.more), strict=False)), **more}


def test_places_of_a_data_set_are_mixed_and_held_out(tmp_path):
    a, _ = scene(tmp_path / "a", seed=1)
    b, coarse = scene(tmp_path / "b", seed=2)
    # Another place: elsewhere, and in another unit.
    images = [surface(day, 64, 64, 2, 3) for day in range(2)]
    c = layers(tmp_path / "c", "fine", images, crs="EPSG:32650", scales=[1, 1])
    path = data_set(
        tmp_path / "places.json",
        plain_place("A", a, split="training", ratio=8),
        plain_place("B", b, split="training", coarse=plain_place("", coarse)["fine"], fine_scale=2.0),
        plain_place("C", c, split="validation", fine_scale=0.0001),
    )
    data, said, warned = opened(replace(PLAIN, per_band=True), data_set=path)
    assert said == ["Held out for validation: C."]
    assert warned == []
    assert {spot.region.place.name for spot in data.validation} == {"C"}
    drawn = [data.draw(0, index) for index in range(40)]
    assert {sample.spot.region.place.name for sample in drawn} == {"A", "B"}
    told = data.describe()
    json.dumps(told)
    assert [(place["name"], place["coarse"], place["ratio"][0]) for place in told["places"]] == [
        ("A", "simulated", 8.0), ("B", "real", 4.0), ("C", "simulated", 4.0),
    ]
    assert told["places"][2]["use"] == {"validation": [0, 64, 0, 64]}
    assert told["places"][1]["samples_of_dates"] == 6
    scaled = next(sample for sample in drawn if sample.spot.region.place.name == "B")
    files = dict(zip(DAYS, (b.path, *b.more), strict=True))
    wanted = 2 * stored(files[str(scaled.spot.dates.target)], scaled.spot.box)[scaled.spot.band]
    assert scaled.normalisation.undo(scaled.truth)[0] == pytest.approx(wanted, abs=1e-5)


def test_masked_pixels_are_invalid(tmp_path):

    fine, _ = scene(tmp_path)
    masked = np.zeros((1, 64, 96), np.uint8)
    masked[0, 4:8, 4:40] = 1
    mask = write_raster(tmp_path / "mask.tif", masked)
    path = data_set(tmp_path / "p.json", plain_place("A", fine, fine_masks={DAYS[1]: mask}))
    data, _, _ = opened(replace(PLAIN, share=0.0), data_set=path)
    seen = []
    for index in range(80):
        sample = data.draw(0, index)
        box = sample.spot.box
        uses = DAYS[1] in map(str, (sample.spot.dates.target, *sample.spot.dates.references))
        wanted = masked[0, box.top : box.bottom, box.left : box.right] == 0
        if uses:
            assert not (sample.valid & ~wanted).any()
            seen.append((~wanted).any())
        else:
            assert sample.valid.all()
    assert any(seen)


def test_values_of_different_scales_are_warned_about(tmp_path):
    fine, _ = scene(tmp_path / "a")
    coarse = layers(
        tmp_path / "b", "coarse", [coarsened(surface(day, 64, 96), 4) for day in range(3)], ratio=4, scales=[1, 1]
    )
    _, _, warned = opened(PLAIN, fine, coarse)
    assert len(warned) == 1
    assert "their scales seem to differ" in warned[0]


def test_landscapes_alone_are_enough(monkeypatch):
    monkeypatch.setattr(_landscapes, "SIDE", 96)
    data, said, _ = opened(Wanted(patch=16, per_band=True, landscapes=1.0, ratio=(4.0, 8.0), held_out=4))
    assert said[0].startswith("Held out for validation: simulated landscape ")
    sample = data.draw(0, 0)
    assert sample.spot.region.place.name.startswith("simulated landscape")
    assert 0 <= sample.spot.band < 6
    assert sample.truth.std() > 0.01
    again, _, _ = opened(Wanted(patch=16, per_band=True, landscapes=1.0, ratio=(4.0, 8.0), held_out=4))
    assert same(sample, again.draw(0, 0))


def test_landscapes_are_mixed_with_places_and_never_held_out(layered, monkeypatch):
    monkeypatch.setattr(_landscapes, "SIDE", 96)
    data, _, _ = opened(replace(PLAIN, landscapes=0.5), *layered)
    names = [data.draw(0, index).spot.region.place.name for index in range(40)]
    assert 8 < sum(name.startswith("simulated") for name in names) < 32
    assert {spot.region.place.name for spot in data.validation} == {"the scene"}
    assert data.draw(0, 0).truth.shape == (2, 16, 16)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: {}, "There is nothing to learn from"),
        (lambda folder: {"coarse": scene(folder)[1]}, "Coarse layers are given without fine ones"),
        (lambda folder: {"fine": scene(folder, days=1)[0]}, r"^The scene has 1 date\(s\) \(2021-04-20\) and"),
        (lambda folder: {"fine": Input(str(folder / "none_2021-01-01.tif"))}, "does not exist"),
        (lambda folder: {"fine": scene(folder, rows=8)[0]}, "No place is as large as a patch of 16 pixels"),
        (lambda folder: dict(zip(("coarse", "fine"), scene(folder), strict=True)), "is finer than .* swap the fine"),
        (
            lambda folder: {"fine": layers(folder, "f", [surface(0, 64, 96, 2), surface(1, 64, 96, 3)])},
            r"has 2 band\(s\) and .* has 3; choose the bands that belong together",
        ),
        (
            lambda folder: {"fine": scene(folder / "a")[0], "coarse": layers(
                folder / "b", "c", [surface(0, 16, 24)], crs="EPSG:32650")},
            "do not overlap",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_one_sentence(tmp_path, make, words):
    with pytest.raises(UserError, match=words):
        opened(PLAIN, **make(tmp_path))


def test_dates_too_far_apart_are_one_sentence(layered):
    with pytest.raises(UserError, match="no dates at most 10 days apart"):
        opened(replace(PLAIN, days=10), *layered)


def test_places_of_different_bands_are_refused_unless_band_by_band(tmp_path):
    a, _ = scene(tmp_path / "a", bands=2)
    b, _ = scene(tmp_path / "b", bands=3, seed=1)
    path = data_set(tmp_path / "p.json", plain_place("A", a), plain_place("B", b))
    with pytest.raises(UserError, match=r"A has 2 band\(s\) and B has 3; .* or train band by band"):
        opened(replace(PLAIN, share=0.0), data_set=path)
    assert opened(replace(PLAIN, share=0.0, per_band=True), data_set=path)[0].bands == 1


def test_images_with_too_many_bands_for_landscapes_are_refused(tmp_path):
    fine, _ = scene(tmp_path, bands=7)
    with pytest.raises(UserError, match="landscapes have 6 bands and the images 7"):
        opened(replace(PLAIN, landscapes=0.1), fine)


def test_a_real_pair_of_sensors_is_learnt_from():
    """The samples are what a fusion of the same files reads, and the coarse change explains some of the fine one."""
    folder = real_scene("stf_salton_hls_viirs")
    fine, coarse = (sorted(folder.glob(f"{name}*.tif")) for name in ("HLS70m", "VIIRS490m"))
    inputs = [Input(str(paths[0]), more=tuple(map(str, paths[1:]))) for paths in (fine, coarse)]
    data, _, warned = opened(Wanted(patch=28, per_band=True, varied=False), *inputs)
    assert warned == []
    assert data.ratio == (7.0, 7.0)
    assert data.describe()["places"][0]["samples_of_dates"] == 90
    sample = data.draw(0, 0)
    day = str(sample.spot.dates.target).replace("-", "")
    files = [next(str(path) for path in paths if day in path.name) for paths in (coarse, fine)]
    target = align(*(Source("Image", Input(file)) for file in files), "cubic").read(sample.spot.box)
    found = sample.normalisation.undo(sample.target)[:, sample.valid]
    assert found == pytest.approx(target[:, sample.valid], rel=1e-5)
    errors = []
    for sample in (data.draw(1, index) for index in range(100)):
        (reference,) = sample.spot.dates.references
        if abs((sample.spot.dates.target - reference).days) >= 30:
            change, coarse_change = sample.truth - sample.fine[0], sample.target - sample.coarse[0]
            errors.append([np.square(error[:, sample.valid]).mean() for error in (change, change - coarse_change)])
    still, moved = np.mean(errors, axis=0)
    assert moved < 0.9 * still
