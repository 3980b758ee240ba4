"""The real scene of pansharpening: Landsat 8 at the volcano Momotombo, whole, or its west and its east.

Networks learn from the west and are judged on the east, which they never see.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import rasterio
from rasterio.windows import Window, bounds, from_bounds

from scenes import data_folder, execute, order
from stfusion import registry
from stfusion.pansharpening._opening import open_scene
from stfusion.protocol import SilentReporter
from stfusion.raster.grids import Box
from stfusion.run import Context

Part = Literal["whole", "west", "east"]
SCENE = "pansharp_momotombo_l8"
RATIO, SENSOR = 2, "Landsat 8"
#: Bands that the panchromatic one sees: blue, green, red.
SEEN = [1, 2, 3]
BICUBIC = "Bicubic interpolation"
#: The column of the multispectral image where the east begins.
_EAST = 300
#: How the stored numbers become reflectance, which the file's tags say and its header does not.
_SCALE, _OFFSET = 2e-5, -0.1


def images(work: Path, part: Part) -> dict[str, Path]:
    """Both images of a part of the scene, in reflectance."""
    folder = work / part
    folder.mkdir(parents=True, exist_ok=True)
    paths = {role: folder / f"{role}.tif" for role in ("multispectral", "pan")}
    source = data_folder() / SCENE / "L8_TOA_20151205"
    with rasterio.open(f"{source}.tif") as bands, rasterio.open(f"{source}_pan.tif") as pan:
        first, last = {"whole": (0, bands.width), "west": (0, _EAST), "east": (_EAST, bands.width)}[part]
        window = Window(first, 0, last - first, bands.height)
        _cut(bands, window, paths["multispectral"])
        seen = from_bounds(*bounds(window, bands.transform), transform=pan.transform)
        inside = seen.intersection(Window(0, 0, pan.width, pan.height))
        _cut(pan, inside.round_offsets().round_lengths(), paths["pan"])
    return paths


def _cut(source: rasterio.DatasetReader, window: Window, path: Path) -> None:
    profile = {
        **source.profile, "driver": "GTiff", "width": window.width, "height": window.height,
        "transform": source.window_transform(window),
    }
    with rasterio.open(path, "w", **profile) as target:
        target.write(source.read(window=window))
        target.scales, target.offsets = [_SCALE] * source.count, [_OFFSET] * source.count
        target.descriptions = source.descriptions


def reduced(work: Path, part: Part) -> dict[str, Path]:
    """Both images of a part, reduced by Wald's protocol at their own ratio, and the ``truth``."""
    given = images(work, part)
    found = {role: work / part / f"reduced {role}.tif" for role in given}
    execute("wald_protocol", **given, sensor=SENSOR, output=found["multispectral"], reduced_pan=found["pan"])
    return {**found, "truth": given["multispectral"]}


def sharpen(method: str, given: dict[str, Path], output: Path, **more: Any) -> None:
    """Sharpen reduced images by a method, the sensor given where there is a choice."""
    known = {option.id for option in registry.methods()[method].options}
    sensor = {"sensor": SENSOR} if "sensor" in known else {}
    execute(method, multispectral=given["multispectral"], pan=given["pan"], output=output, **sensor, **more)


def expand(given: dict[str, Path], output: Path) -> None:
    """What is to be beaten: the multispectral image interpolated as the methods do it."""
    roles = {role: given[role] for role in ("multispectral", "pan")}
    scene = open_scene(Context(order("simple_mean", output=output, **roles), SilentReporter()), 2**26)
    rows, columns = scene.shape
    with rasterio.open(
        output, "w", driver="GTiff", height=rows, width=columns, count=scene.bands, dtype="float32",
        crs=scene.grid.crs, transform=scene.grid.affine,
    ) as sink:
        sink.write(scene.read(Box(0, rows, 0, columns)).expanded)


def scores(predicted: Path, truth: Path) -> dict[str, float]:
    """Means of the measures, and ``seen``: the ERGAS of the bands that the panchromatic one sees."""
    found = _assessed(predicted, truth)
    return found | {"seen": _assessed(predicted, truth, fused_bands=SEEN, reference_bands=SEEN)["ergas"]}


def _assessed(predicted: Path, truth: Path, **bands: list[int]) -> dict[str, float]:
    report = predicted.with_name(f"{predicted.stem} {len(bands)}")
    shutil.rmtree(report, ignore_errors=True)
    execute("assess_fusion", predicted=predicted, reference=truth, ratio=RATIO, output=report, **bands)
    whole = json.loads((report / "results.json").read_text(encoding="utf-8"))["whole"]
    return {name: float(whole[name]["mean"]) for name in ("ergas", "sam", "q2n", "scc") if name in whole}
