"""What a network is compared with on the samples of its validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from stfusion import job, registry
from stfusion.protocol import SilentReporter
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._files import write_text
from stfusion.training._validation import FIGURES, Held, figures, means, summed

#: By its name, what another method predicts for a sample, normalised (bands, rows, columns).
Rivals = Mapping[str, Callable[[Context, Any], Array]]
#: Any grid: pixels of 30 m, in no particular place.
_PLACE = Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0)
_NODATA = -9999.0


def compared(
    context: Context, rivals: Rivals, samples: Iterable[Held], order: Mapping[str, Any], kept: Path,
    advance: Callable[[], None],
) -> dict[str, dict[str, float]]:
    """The figures of the methods, means over the samples, each on the same valid pixels as the network's.

    They are kept in a file with the ``order`` (plain values) of the training, and read from there when they were
    computed for it before.
    """
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if found.get("order") == order:
            figures_found: dict[str, dict[str, float]] = found["figures"]
            return figures_found
    sums = {name: np.zeros(2 * len(FIGURES)) for name in rivals}
    for sample in samples:
        for name, rival in rivals.items():
            context.stop.check()
            sums[name] += summed(figures(rival(context, sample), sample))
        advance()
    result = {name: means(total) for name, total in sums.items()}
    write_text(kept, json.dumps({"order": order, "figures": result}, indent=1))
    return result


def run_method(
    context: Context, name: str, images: Mapping[str, tuple[Array, NDArray[np.bool_], int]], **options: Any
) -> NDArray[np.float64]:
    """What a declared method gives for images of one place (bands, rows, columns); NaN where it has no value.

    Each image comes with where it is valid, and how many of the smallest pixels one of its pixels is wide.
    """
    with TemporaryDirectory() as folder:
        values: dict[str, Any] = {
            role: _write(str(Path(folder, f"{role}.tif")), *image) for role, image in images.items()
        }
        values["output"] = str(Path(folder, "output.tif"))
        order = job.parse(job.build(
            registry.methods()[name], {**values, **options}, seed=context.job.seed, threads=context.threads,
            device="cpu", memory_mb=context.job.memory_mb,
        ))
        order.declaration.load()(Context(order, SilentReporter()))
        with rasterio.open(values["output"]) as dataset:
            found: NDArray[np.float64] = dataset.read(masked=True).astype(np.float64).filled(np.nan)
            return found


def _write(path: str, image: Array, valid: NDArray[np.bool_], size: int) -> str:
    """Write an image (bands, rows, columns), with nodata where it is not valid."""
    values = np.where(valid, image, np.float32(_NODATA)).astype(np.float32)
    bands, rows, columns = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=rows, width=columns, dtype="float32", nodata=_NODATA,
        crs="EPSG:32633", transform=_PLACE @ Affine.scale(size),
    ) as dataset:
        dataset.write(values)
    return path
