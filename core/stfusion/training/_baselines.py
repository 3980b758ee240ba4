"""What a network is compared with on the samples of its validation: the three baselines, and STARFM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from stfusion import job, registry
from stfusion.protocol import SilentReporter
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._files import write_text
from stfusion.training._validation import FIGURES, Held, figures, means, summed

#: The methods by their ids, with a formula of the normalised images, or none for those that are run.
METHODS: Mapping[str, Callable[[Held], Array] | None] = {
    "copy_fine": lambda sample: sample.fine[0],
    "upsampled_coarse": lambda sample: sample.target,
    "fine_plus_difference": lambda sample: sample.fine[0] + (sample.target - sample.coarse[0]),
    "starfm": None,
}
#: Any grid: pixels of 30 m, in no particular place.
_GRID = {"crs": "EPSG:32633", "transform": Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0)}
_NODATA = -9999.0
#: Side of the moving window in fine pixels, where the sample is as large.
_WINDOW = 51


def compared(
    context: Context, samples: Iterable[Held], order: Mapping[str, Any], kept: Path, advance: Callable[[], None]
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
    sums = {name: np.zeros(2 * len(FIGURES)) for name in METHODS}
    for sample in samples:
        for name, formula in METHODS.items():
            context.stop.check()
            prediction = formula(sample) if formula else _run(context, name, sample)
            sums[name] += summed(figures(prediction, sample))
        advance()
    result = {name: means(total) for name, total in sums.items()}
    write_text(kept, json.dumps({"order": order, "figures": result}, indent=1))
    return result


def _run(context: Context, name: str, sample: Held) -> Array:
    """The prediction of a declared method of fusion for a sample, whose coarse images lie on the fine grid."""
    with TemporaryDirectory() as folder:
        roles = {"fine": sample.fine[0], "coarse": sample.coarse[0], "target": sample.target}
        if len(sample.fine) > 1:
            roles |= {"fine2": sample.fine[1], "coarse2": sample.coarse[1]}
        values: dict[str, Any] = {role: _write(sample, image, folder, role) for role, image in roles.items()}
        values["output"] = str(Path(folder, "fused.tif"))
        side = min(sample.target.shape[1:])
        values["window"] = min(_WINDOW, side - 1 + side % 2)
        order = job.parse(job.build(
            registry.methods()[name], values, seed=context.job.seed, threads=context.threads, device="cpu",
            memory_mb=context.job.memory_mb,
        ))
        order.declaration.load()(Context(order, SilentReporter()))
        with rasterio.open(values["output"]) as dataset:
            fused = dataset.read(masked=True).astype(np.float64).filled(np.nan)
    normalised = sample.normalisation.apply(fused)
    # Where it has no value, it is taken to say that nothing has changed.
    return np.where(np.isnan(normalised), sample.fine[0], normalised)


def _write(sample: Held, image: Array, folder: str, role: str) -> str:
    """Write an image (bands, rows, columns) in the unit of the data, with nodata where the sample is not valid."""
    path = str(Path(folder, f"{role}.tif"))
    values = np.where(sample.valid, sample.normalisation.undo(image), np.float32(_NODATA)).astype(np.float32)
    bands, rows, columns = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=rows, width=columns, dtype="float32", nodata=_NODATA, **_GRID
    ) as dataset:
        dataset.write(values)
    return path
