"""What a network is compared with on the samples of its validation."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from stfusion import job, registry
from stfusion.errors import UserError
from stfusion.protocol import SilentReporter
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._files import write_text
from stfusion.training._validation import FIGURES, Held, figures, means, summed

#: By its name, what another method predicts for a sample, normalised (bands, rows, columns). The first one needs
#: nothing but the sample, and stands in where another one cannot be computed (UserError).
Rivals = Mapping[str, Callable[[Context, Any], Array]]
#: Any grid: pixels of 30 m, in no particular place.
_PLACE = Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0)
_NODATA = -9999.0


@dataclass(frozen=True)
class Comparison:
    """The figures of the methods by name, and sentences on those that could not be computed for every sample."""

    figures: Mapping[str, Mapping[str, float]]
    notes: Sequence[str]


def compared(
    context: Context, rivals: Rivals, samples: Iterable[Held], order: Mapping[str, Any], kept: Path,
    advance: Callable[[], None],
) -> Comparison:
    """The figures of the methods, means over the samples, each on the same valid pixels as the network's.

    They are kept in a file with the ``order`` (plain values) of the training, and read from there when they were
    computed for it before.
    """
    order = {**order, "methods": list(rivals)}
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if found.pop("order", None) == order:
            return Comparison(**found)
    sums = {name: np.zeros(2 * len(FIGURES)) for name in rivals}
    count, faults = 0, defaultdict[str, list[UserError]](list)
    first = next(iter(rivals))
    for sample in samples:
        for name, rival in rivals.items():
            context.stop.check()
            try:
                image = rival(context, sample)
            except UserError as error:
                if name == first:
                    raise
                faults[name].append(error)
                image = rivals[first](context, sample)
            sums[name] += summed(figures(image, sample))
        count += 1
        advance()
    notes = [
        f"On {len(errors)} of {count} samples of validation {name} could not be computed, and {first} stands in "
        f"({errors[0]})"
        for name, errors in faults.items()
    ]
    result = Comparison({name: means(total) for name, total in sums.items()}, notes)
    write_text(kept, json.dumps({"order": order, **asdict(result)}, indent=1))
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
