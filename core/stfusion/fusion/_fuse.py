"""One driver for every fusion method: open, prepare, predict tile by tile, write."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from stfusion.fusion._scene import Patch, Scene, open_scene
from stfusion.protocol import Reporter
from stfusion.raster.grids import Box
from stfusion.raster.output import Output, provenance
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles, tile_shape, window_of
from stfusion.run import Context

#: Shares of the working memory.
_CACHE_SHARE, _TILE_SHARE = 0.2, 0.6
#: Progress, in per cent, at the begin and the end of the prediction.
_PREDICTION = (5.0, 90.0)


class Tally:
    """Counts of what happened to single pixels and bands, from all threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int) -> None:
        """Count further values."""
        with self._lock:
            self._counts[name] += count

    def report(self, reporter: Reporter, notes: Mapping[str, str], total: int) -> None:
        """Say what happened to how many of so many values, in the words of ``notes``."""
        words = {
            "nodata": "have no data, since an input has none there",
            "clipped": "were outside the range of the data type and were clipped",
            **notes,
        }
        for name, count in self._counts.items():
            if count:
                say = reporter.log if name == "nodata" and count < total else reporter.warning
                say(f"{count} of {total} values ({count / total:.2%}) {words[name]}.")


class Model(Protocol):
    """A fusion method that has seen the whole scene once and now predicts tiles.

    ``halo`` is how many pixels around a pixel its value depends on, ``pixel_bytes`` the memory per pixel read.
    ``notes`` says in words what the counts of its tally mean.
    """

    halo: int
    pixel_bytes: int
    notes: ClassVar[Mapping[str, str]]

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """The fine image (bands, rows, columns) of the tile's inner box, NaN where it cannot be known."""


def fuse(context: Context, prepare: Callable[[Scene, Context], Model]) -> dict[str, Any]:
    """Run a fusion method on the job's scene and return the outputs by name."""
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening and checking the images", 1, 4)
        scene = open_scene(context, int(_CACHE_SHARE * working))
        context.reporter.stage("Statistics of the whole scene", 2, 4)
        model = prepare(scene, context)
        window = window_of(context, scene.shape)
        tile = tile_shape(window.shape, model.halo, model.pixel_bytes, int(_TILE_SHARE * working), context.threads)
        tags = provenance(context, scene.target.source.date)
        with Output(context.job.outputs["output"], scene.reference, tags, context.stop, window=window) as output:
            _predict(context, scene, model, tile, window, output)
            context.reporter.stage("Writing the Cloud Optimized GeoTIFF", 4, 4)
            output.finish(context.threads)
    result: dict[str, Any] = {"output": str(output.path)}
    if scene.target.source.date is not None:
        result["date"] = scene.target.source.date.isoformat()
    return result


def _predict(
    context: Context, scene: Scene, model: Model, tile: tuple[int, int], window: Box, output: Output
) -> None:
    context.reporter.stage("Fusing", 3, 4)
    context.reporter.progress(_PREDICTION[0])
    tally = Tally()

    def compute(part: Tile) -> Array:
        values = model.predict(scene.read(part.outer), part, tally)
        tally.add("nodata", int(np.count_nonzero(np.isnan(values))))
        return values

    run_tiles(context, scene.shape, tile, model.halo, compute, output.write, _PREDICTION, window)
    tally.add("clipped", output.clipped)
    tally.report(context.reporter, model.notes, scene.shape[0] * scene.shape[1] * scene.bands)
