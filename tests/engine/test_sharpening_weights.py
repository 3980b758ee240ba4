"""The weights of sharpening that come with the engine: they say what they are, and beat the default and GSA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window, bounds, from_bounds

from makers import read_raster, run_method
from real_data import real_scene
from stfusion.networks._checkpoint import load
from stfusion.networks._shared import SHARPENING, shipped

SHIPPED = [name for name in SHARPENING if shipped(name)]
RIVALS = ("gsa", "mtf_glp_fs")
RATIO, SENSOR = 2, "Landsat 8"
#: A part of the east of the scene, in multispectral pixels: no column before 300 was learnt from.
EAST = Window(310, 100, 152, 128)


def test_one_of_a_light_network_and_one_of_a_diffusion_model_come_with_stf() -> None:
    assert {"ddif", "ssdiff"} & set(SHIPPED)
    assert set(SHIPPED) - {"ddif", "ssdiff"}


@pytest.mark.parametrize("name", SHIPPED)
def test_they_say_what_they_are(name: str) -> None:
    checkpoint = load(shipped(name))
    card = checkpoint.card
    assert (card.network, card.form.bands, card.ratio) == (name, 6, (RATIO, RATIO))
    assert card.licence
    assert any("Learnt from" in limit for limit in card.limits)
    assert "CC0" in card.data["scene"]
    own = card.figures[f"{name}, east"]["ergas"]
    assert own < min(card.figures[f"{rival}, east"]["ergas"] for rival in RIVALS)
    for suffix in (".json", ".md"):
        assert shipped(name).with_suffix(suffix).exists()
    checkpoint.build()


def cut(source: Path, out: Path, box: tuple[float, float, float, float]) -> Path:
    """The part of an image in a box of the ground, in reflectance."""
    with rasterio.open(source) as image:
        window = from_bounds(*box, transform=image.transform).round_offsets().round_lengths()
        profile = {
            **image.profile, "driver": "GTiff", "width": window.width, "height": window.height,
            "transform": image.window_transform(window),
        }
        with rasterio.open(out, "w", **profile) as target:
            target.write(image.read(window=window))
            target.scales, target.offsets = [2e-5] * image.count, [-0.1] * image.count
    return out


def ergas(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """ERGAS (Wald 2000)."""
    errors = ((predicted - truth) ** 2).mean((1, 2)) / truth.mean((1, 2)) ** 2
    return float(100 / RATIO * np.sqrt(errors.mean()))


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images of the east, reduced by Wald's protocol, and the truth."""
    folder, scene = tmp_path_factory.mktemp("east"), real_scene("pansharp_momotombo_l8") / "L8_TOA_20151205.tif"
    with rasterio.open(scene) as image:
        box = bounds(EAST, image.transform)
    truth = cut(scene, folder / "truth.tif", box)
    pan = cut(scene.with_name("L8_TOA_20151205_pan.tif"), folder / "pan.tif", box)
    found = {"multispectral": folder / "reduced.tif", "pan": folder / "reduced_pan.tif"}
    outcome = run_method(
        "wald_protocol", multispectral=str(truth), pan=str(pan), sensor=SENSOR, output=str(found["multispectral"]),
        reduced_pan=str(found["pan"]),
    )
    assert outcome.code == 0, outcome.said.lines
    return {**found, "truth": truth}


@pytest.mark.parametrize("name", SHIPPED)
def test_they_beat_gsa_and_the_default_where_they_have_never_been(
    tmp_path: Path, reduced: dict[str, Path], name: str
) -> None:
    truth, errors = read_raster(reduced["truth"]).astype(float) * 2e-5 - 0.1, {}
    for method in (*RIVALS, name):
        out = tmp_path / f"{method}.tif"
        sensor = {"sensor": SENSOR} if method == "mtf_glp_fs" else {}
        outcome = run_method(
            method, multispectral=str(reduced["multispectral"]), pan=str(reduced["pan"]), output=str(out), **sensor
        )
        assert outcome.code == 0, outcome.said.lines
        errors[method] = ergas(read_raster(out).astype(float) * 2e-5 - 0.1, truth)
    assert errors[name] < min(errors[rival] for rival in RIVALS)
