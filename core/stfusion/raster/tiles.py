"""The tile runner: any method on rasters of any size, with bounded memory, progress and cancel."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from stfusion.errors import OutOfMemory, UserError
from stfusion.raster.grids import Box
from stfusion.run import Context

#: What Python, GDAL and the compiled kernels take before the first pixel.
BASE_BYTES = 320 * 2**20
Result = TypeVar("Result")

_LARGEST = 1024
_SMALLEST = 64
#: Rows of a strip.
STRIP = 64
#: Rows of a tile that are much of it, by which the memory of a strip is counted.
_USUAL = 512


@dataclass(frozen=True)
class Tile:
    """A part of the scene: the pixels to compute (``inner``), those to read (``outer``), and how to tell progress."""

    inner: Box
    outer: Box
    _advance: Callable[[float], None] = field(repr=False, default=lambda pixels: None)

    @property
    def offset(self) -> tuple[int, int]:
        """Rows and columns from the first pixel read to the first pixel to compute."""
        return self.inner.top - self.outer.top, self.inner.left - self.outer.left

    def advance(self, share: float) -> None:
        """Say that a further share (0..1) of the tile is done; raises ``Cancelled`` when the run is to stop."""
        rows, columns = self.inner.shape
        self._advance(share * rows * columns)

    def strips(self, halo: int, shape: tuple[int, int], rows: int = STRIP) -> Iterator[Tile]:
        """The tile in strips of rows, each with its own halo: for what needs much memory for every pixel.

        ``shape`` has the rows and columns of the scene.
        """
        for top in range(self.inner.top, self.inner.bottom, rows):
            bottom = min(top + rows, self.inner.bottom)
            inner = Box(top, bottom, self.inner.left, self.inner.right)
            yield replace(self, inner=inner, outer=inner.grown(halo, shape))


def strip_share(halo: int, rows: int = STRIP) -> float:
    """The share of a usual tile that a strip with its halo makes up (0..1)."""
    return (rows + 2 * halo) / (_USUAL + 2 * halo)


def working_bytes(context: Context) -> int:
    """The part of the memory limit that is left for pixels.

    Raises
    ------
    OutOfMemory
        The limit is too small for anything.
    """
    left = context.memory_bytes - BASE_BYTES
    if left < 64 * 2**20:
        raise OutOfMemory(
            f"The memory limit of {context.job.memory_mb} MB is too small; give at least {(BASE_BYTES >> 20) + 64} MB."
        )
    return left


@contextmanager
def bounded_gdal(context: Context, share: float = 0.1) -> Iterator[int]:
    """GDAL with a cache that is a share (0..1) of the memory for pixels, which is given (bytes).

    An image without a place in the world is allowed, and nothing is said about it.
    """
    working = working_bytes(context)
    with rasterio.Env(GDAL_CACHEMAX=int(share * working)), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield working


def window_of(context: Context, shape: tuple[int, int]) -> Box:
    """The part of a result of this shape that the job orders: all of it, or its window.

    Raises
    ------
    UserError
        The window reaches beyond it.
    """
    rows, columns = shape
    window = Box(*(context.job.window or (0, rows, 0, columns)))
    if window.bottom > rows or window.right > columns:
        raise UserError(
            f"The job's window ends at row {window.bottom} and column {window.right} and the result has {rows} rows "
            f"and {columns} columns; plan the parts again."
        )
    return window


def tile_shape(shape: tuple[int, int], halo: int, pixel_bytes: int, budget: int, threads: int) -> tuple[int, int]:
    """Rows and columns of a tile: as large as the budget of one thread allows, small enough to occupy all threads.

    Raises
    ------
    OutOfMemory
        Not even the smallest tile with its halo fits.
    """
    side = int((budget / threads / pixel_bytes) ** 0.5) - 2 * halo
    if side < min(_SMALLEST, *shape):
        needed = (2 * halo + _SMALLEST) ** 2 * pixel_bytes * threads
        raise OutOfMemory(
            f"A tile with its margin of {halo} pixels needs {needed / 2**20:.0f} MB for {threads} thread(s) and "
            f"{budget / 2**20:.0f} MB are left; raise the memory limit, or lower the window or the threads."
        )
    rows, columns = (min(_LARGEST, side, n) for n in shape)
    while rows > _SMALLEST and -(-shape[0] // rows) * -(-shape[1] // columns) < 4 * threads:
        rows = -(-rows // 2)
    return rows, columns


def tiles(
    shape: tuple[int, int], tile: tuple[int, int], halo: int, window: Box | None = None
) -> Iterator[tuple[Box, Box]]:
    """The inner and outer boxes of the tiles of an image, or of a window of it, row by row."""
    area = window or Box(0, shape[0], 0, shape[1])
    for top in range(area.top, area.bottom, tile[0]):
        for left in range(area.left, area.right, tile[1]):
            inner = Box(top, min(top + tile[0], area.bottom), left, min(left + tile[1], area.right))
            yield inner, inner.grown(halo, shape)


class _Progress:
    """Adds up what the threads have done and reports it between two per cents of the run."""

    def __init__(self, context: Context, pixels: int, begin: float, end: float) -> None:
        self._context = context
        self._pixels = pixels
        self._begin, self._end = begin, end
        self._done = 0.0
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Make the threads that still work give up with the error of the one that failed first."""
        self._failure = self._failure or error

    def advance(self, pixels: float) -> None:
        self._context.stop.check()
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._done += pixels
            share = min(1.0, self._done / self._pixels)
            self._context.reporter.progress(self._begin + share * (self._end - self._begin))


def run_tiles(
    context: Context,
    shape: tuple[int, int],
    tile: tuple[int, int],
    halo: int,
    compute: Callable[[Tile], Result],
    write: Callable[[Box, Result], None],
    span: tuple[float, float] = (0.0, 100.0),
    window: Box | None = None,
) -> None:
    """Compute every tile (of a window), as many at a time as there are threads, and write the results in order.

    ``compute`` gets a tile and returns what belongs to its inner box, mostly an image (bands, rows, columns); it runs
    in several threads at once.
    The result must not depend on the tile: only on the pixels within ``halo`` of each pixel. ``span`` is the progress
    at the begin and the end.
    """
    rows, columns = window.shape if window else shape
    progress = _Progress(context, rows * columns, *span)

    def work(part: Tile) -> Result:
        try:
            part.advance(0.0)  # a tile that waited does not begin once the run is to stop
            return compute(part)
        except BaseException as error:
            progress.fail(error)
            raise

    pending: deque[tuple[Box, Future[Result]]] = deque()
    with ThreadPoolExecutor(context.threads) as pool:
        try:
            for inner, outer in tiles(shape, tile, halo, window):
                # One tile more than there are threads waits, so that no thread does.
                while len(pending) > context.threads:
                    done, future = pending.popleft()
                    write(done, future.result())
                context.stop.check()
                pending.append((inner, pool.submit(work, Tile(inner, outer, progress.advance))))
            while pending:
                done, future = pending.popleft()
                write(done, future.result())
        except BaseException as error:
            progress.fail(error)
            for _, future in pending:
                future.cancel()
            raise
