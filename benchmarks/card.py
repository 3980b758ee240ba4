"""What a CUDA card saves: seconds on the processor and on the card, and how far the results lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from cases import ROLES, case, inputs
from limits import repeated
from measure import FailedError, engine
from stfusion import device
from stfusion.declaration import Method

#: Methods whose time goes into a window that a card can compute.
METHODS = ("starfm", "estarfm", "fit_fc", "fsdaf", "obsum", "rasdf", "vipstf")
#: Side of the scenes that large ones are repeated from.
REPEATED = 1000
#: What keeps a run on the processor.
PROCESSOR = {"CUDA_VISIBLE_DEVICES": "-1", "NUMBA_ENABLE_CUDASIM": "0"}
#: The difference between a card and the processor that is allowed, as a part of the value.
ALLOWED = 1e-4


def measure(folder: Path, methods: Sequence[Method], large: int, small: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each method: times of the large scene, all threads, and differences on the small one."""
    found = device.find("auto")
    if not found.cuda:
        why = f": {found.fault}" if found.fault else ""
        print(f"There is no CUDA card here that computes, so that the part 'card' is left out{why}.", flush=True)
        return
    side = min(large, REPEATED)
    scene, floats = repeated(folder, case(side), large // side, tuple(ROLES)), _floats(case(small))
    for method in methods:
        if method.id not in METHODS:
            continue
        pairs = 2 if any(role.id == "fine2" and role.required for role in method.roles) else 1
        row: dict[str, Any] = {"method": method.id, "pairs": pairs, "size": large, "small": small, "card": found.name}
        try:
            # The first runs, on the small scene, compile the kernels of the processor into numba's cache.
            row |= _differences(folder, method, floats, pairs)
            row["processor_s"], row["card_s"] = (
                _seconds(method, scene, pairs, folder / "fused.tif", variables) for variables in (PROCESSOR, {})
            )
        except FailedError as why_not:
            row |= {"failed": str(why_not)}
        yield f"{method.id}, {pairs} pair(s), {large}", row


def _seconds(method: Method, path: Path, pairs: int, output: Path, variables: dict[str, str]) -> float:
    command = ("fuse", method.id, *inputs(method, path, pairs), "--out", output)
    return engine(*command, variables=variables).wall_s


def _differences(folder: Path, method: Method, path: Path, pairs: int) -> dict[str, float]:
    """The largest difference as a part of the processor's value, and the share of values beyond what is allowed."""
    images = []
    for name, variables in (("processor.tif", PROCESSOR), ("card.tif", {})):
        _seconds(method, path, pairs, folder / name, variables)
        with rasterio.open(folder / name) as raster:
            images.append(raster.read().astype(np.float64))
    parts = np.abs(images[1] - images[0]) / np.abs(images[0])
    return {"largest_difference": float(np.nanmax(parts)), "beyond": float(np.mean(parts > ALLOWED))}


def _floats(path: Path) -> Path:
    """The images of a case as floats, so that results are not rounded to whole numbers."""
    target = path / "floats"
    target.mkdir(exist_ok=True)
    for name in ROLES.values():
        with rasterio.open(path / f"{name}.tif") as image:
            profile = {k: image.profile[k] for k in ("driver", "width", "height", "count", "crs", "transform")}
            with rasterio.open(target / f"{name}.tif", "w", dtype="float32", **profile) as sink:
                sink.write(image.read().astype(np.float32))
    return target
