"""How the cost of our methods grows with the size of the scene, the window and the number of bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cases import BANDS, case, inputs
from measure import ROOT, FailedError, engine
from stfusion.declaration import Method, Option

#: Side of the scene while something else grows.
SIZE = 500
FINE_WINDOWS, COARSE_WINDOWS = (17, 33, 51, 101), (3, 5, 7, 9)
NUMBERS_OF_BANDS = (1, 2, 4, 6)
#: Largest sides of a tile, whose memory is compared, and the side of the scene.
TILES, TILED_SIZE = (256, 1024), 2000
#: A limit that leaves little to the caches, whose memory would hide that of the tiles.
TIGHT = ("--memory", 768)
OUTPUT = ROOT / "build" / "bench" / "fused.tif"


def measure(methods: Sequence[Method], sizes: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One run on one thread for every value of what grows; baselines are left out, they cost what reading costs."""
    for method in methods:
        if "baseline" in method.tags:
            continue
        # The smallest case compiles the kernels.
        yield from _series(method, "start", [(160, 160, ())])
        yield from _series(method, "size", [(size, size, ()) for size in sizes])
        yield from _series(method, "tile", [(side, min(max(sizes), TILED_SIZE), TIGHT) for side in TILES])
        window = next((option for option in method.options if option.id == "window"), None)
        if window is not None:
            yield from _series(method, "window", [(n, SIZE, ("--window", n)) for n in windows(window)])
        yield from _series(method, "bands", [(n, SIZE, _bands(n)) for n in NUMBERS_OF_BANDS])


def windows(option: Option) -> tuple[int, ...]:
    """Windows to try, in the unit of the option, within its range."""
    several = FINE_WINDOWS if "fine" in option.title else COARSE_WINDOWS
    low, high = option.minimum or 0, option.maximum or max(several)
    return tuple(n for n in several if low <= n <= high)


def _bands(count: int) -> tuple[object, ...]:
    chosen = ",".join(str(band) for band in range(1, count + 1))
    return ("--fine-bands", chosen, "--coarse-bands", chosen)


def _series(
    method: Method, what: str, runs: Sequence[tuple[int, int, tuple[object, ...]]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for value, size, flags in runs:
        row: dict[str, Any] = {"method": method.id, "what": what, "value": value, "size": size, "bands": BANDS}
        if what == "bands":
            row["bands"] = value
        extra = {"largest_tile": value} if what == "tile" else {}
        command = ("fuse", method.id, *inputs(method, case(size)), "--out", OUTPUT, "--threads", 1, *flags)
        try:
            row |= asdict(engine(*command, **extra))
        except FailedError as why:
            row |= {"failed": str(why)}
        yield f"{method.id}, {what} {value}", row
