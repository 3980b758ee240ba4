"""What pansharpening costs, beside the programs that do the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

import classification
from classification import Task
from measure import engine
from stfusion import registry

#: Pixels of the panchromatic image along a multispectral one, the smallest of its sizes, and of its uniform fields.
RATIO, SMALLEST, FIELD = 4, 64, 8
#: What the panchromatic image has of every band, and the noise of each.
WEIGHTS, NOISE = (0.10, 0.30, 0.35, 0.25), 15
#: Rows that are made and compared at a time.
ROWS = 512
#: Side of the scene beside GDAL, and of that which every method sharpens under a memory limit.
LARGE = 16_384
#: Where the border of the scene ends, at which programs interpolate in their own ways.
BORDER = 16


def measure(folder: Path, limit: int, repeats: int, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for every program beside ours, then one for every classic method on a scene of that size, in MB."""
    yield from classification.measure(folder, repeats, TASKS)
    case, output = folder / "classification" / images.__name__ / str(size), folder / "sharpened.tif"
    if not case.exists():
        case.mkdir(parents=True)
        images(size, case)
    for method in registry.methods().values():
        if method.group == "Pansharpening":
            cost = engine(
                "pansharpen", method.id, "--multispectral", case / "ms.tif", "--pan", case / "pan.tif", "--out", output,
                "--layout", "tiled", "--memory", limit,
            )
            output.unlink()
            yield f"{method.id}, {size}, {limit} MB", {
                "method": method.id, "size": size, "limit": limit, **asdict(cost), "below": cost.peak_mb < limit,
            }


def images(size: int, folder: Path) -> None:
    """A panchromatic and a multispectral image in 16 bits, always the same: fields with a texture."""
    size = max(size, SMALLEST)
    pan_profile, profile = _profile(size, 1, 1), _profile(size // RATIO, len(WEIGHTS), RATIO)
    with rasterio.open(folder / "pan.tif", "w", **pan_profile) as pan, rasterio.open(
        folder / "ms.tif", "w", **profile
    ) as multispectral:
        for top in range(0, size, ROWS):
            rows = min(ROWS, size - top)
            random = np.random.default_rng((7, top))
            fields = random.normal(size=(rows // FIELD, size // FIELD)).repeat(FIELD, 0).repeat(FIELD, 1)
            texture, seen = random.normal(size=(rows, size)), np.zeros((rows, size))
            for band, weight in enumerate(WEIGHTS):
                noise = random.normal(0, NOISE, (rows, size))
                values = 1500 + 300 * band + (200 + 30 * band) * fields + (60 + 18 * band) * texture + noise
                seen += weight * values
                means = values.reshape(rows // RATIO, RATIO, size // RATIO, RATIO).mean((1, 3))
                multispectral.write(_stored(means), band + 1, window=_window(top // RATIO, means))
            pan.write(_stored(seen), 1, window=_window(top, seen))


def _stored(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.clip(np.rint(values), 1, 65_535).astype(np.uint16)


def _window(top: int, values: np.ndarray[Any, Any]) -> Window:
    return Window(0, top, values.shape[1], values.shape[0])


def _profile(size: int, bands: int, pixel: int) -> dict[str, Any]:
    """How the images are stored."""
    return {
        "driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint16", "crs": "EPSG:32633",
        "transform": Affine(pixel, 0, 500_000, 0, -pixel, 5_200_000), "tiled": True, "blockxsize": 512,
        "blockysize": 512, "bigtiff": "if_safer", "interleave": "band",
    }


def agree(case: Path, ours: Path, theirs: Path) -> bool:
    """Whether two images but for their borders differ by more than 1 in less than a millionth of their values."""
    beyond = total = 0
    with rasterio.open(ours) as one, rasterio.open(theirs) as other:
        for top in range(BORDER, one.height - BORDER, ROWS):
            window = Window(BORDER, top, one.width - 2 * BORDER, min(ROWS, one.height - BORDER - top))
            a, b = (image.read(window=window).astype(np.int32) for image in (one, other))
            beyond += int(np.count_nonzero(np.abs(a - b) > 1))
            total += a.size
    return beyond < 1e-6 * total


def _orfeo(method: str, *options: object, theirs: str = "") -> Task:
    """One of the methods of Orfeo ToolBox."""
    return Task(
        f"{method.removesuffix('_fusion').upper()}: four bands",
        "Orfeo ToolBox, BundleToPerfectSensor (C++)",
        "otbcli_BundleToPerfectSensor",
        images,
        lambda case, output: (
            "pansharpen", method, *options, "--layout", "tiled", "--multispectral", case / "ms.tif",
            "--pan", case / "pan.tif", "--out", output,
        ),
        lambda case, output: (
            "otbcli_BundleToPerfectSensor", "-inp", case / "pan.tif", "-inxs", case / "ms.tif",
            "-method", theirs or method, "-out", output, "uint16",
        ),
        agree,
        extension=".tif",
    )


def _gdal(threads: int) -> Task:
    """Weighted Brovey in GDAL."""
    return Task(
        f"Weighted Brovey: four bands, {threads} thread(s)",
        "GDAL, gdal_pansharpen.py",
        "gdal_pansharpen.py",
        images,
        lambda case, output: (
            "pansharpen", "brovey", "--weights", ",".join(map(str, WEIGHTS)), "--layout", "tiled",
            "--multispectral", case / "ms.tif", "--pan", case / "pan.tif", "--out", output,
        ),
        lambda case, output: (
            "gdal_pansharpen.py", "-q", "-r", "cubic", "-threads", threads, "-co", "TILED=YES",
            "-co", "BIGTIFF=IF_SAFER", *(word for weight in WEIGHTS for word in ("-w", weight)), case / "pan.tif",
            case / "ms.tif", output,
        ),
        agree,
        threads=threads,
        extension=".tif",
        large=LARGE,
    )


TASKS = (
    _gdal(1),
    _gdal(2),
    _orfeo("rcs", "--radius", 3),
    _orfeo("lmvm"),
    _orfeo("bayes_fusion", theirs="bayes"),
)
