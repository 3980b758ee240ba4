"""Runs STARFM or ESTARFM of the package fuslib2021 on files; its own interface is a series of file dialogs.

Arguments: method, window, folder of the images (floats on one grid), scratch folder, output. Run by the interpreter
that has the package.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
from osgeo import gdal

PAIR = ("fine_1", "coarse_1")
SECOND = ("fine_3", "coarse_3")
TARGET = "coarse_2"


def prepare() -> Any:
    """Let the package find the old names that it was written for, and dialogs that can be answered."""
    dialogs = types.ModuleType("tkinter.filedialog")
    window = types.ModuleType("tkinter")
    window.filedialog = dialogs
    window.Tk = lambda: types.SimpleNamespace(withdraw=lambda: None)
    sys.modules |= {"gdal": gdal, "tkinter": window, "tkinter.filedialog": dialogs}
    setattr(np, "int", int)  # noqa: B010 - the name is gone from numpy, and a plain assignment is refused too
    mpl.use("Agg")
    return dialogs


def answer(dialogs: Any, folder: Path, files: Iterator[Path]) -> None:
    """The folder and the files that the next run is given."""
    dialogs.askdirectory = lambda title: str(folder)
    dialogs.askopenfilename = lambda title: str(next(files))


def starfm(dialogs: Any, images: Path, scratch: Path, window: int) -> np.ndarray:
    """Predict band by band: the package reads the first band of its files."""
    from fuslib2021 import params

    with rasterio.open(images / f"{TARGET}.tif") as source:
        bands, rows, profile = source.count, source.height, source.profile
    # Slices that do not divide the rows would leave the last rows out.
    params.windowSize, params.mid_idx, params.sizeSlices = window, window**2 // 2, rows // 2
    from fuslib2021 import fusion_lib

    predicted = []
    for band in range(1, bands + 1):
        files = [_band(images / f"{name}.tif", band, scratch, profile) for name in (*PAIR, TARGET)]
        answer(dialogs, scratch, iter(files))
        fusion_lib.starfm()
        with rasterio.open(scratch / "predictionST.tif") as result:
            predicted.append(result.read(1))
    return np.stack(predicted)


def _band(path: Path, band: int, scratch: Path, profile: dict[str, Any]) -> Path:
    target = scratch / path.name
    with rasterio.open(path) as source, rasterio.open(target, "w", **{**profile, "count": 1}) as sink:
        sink.write(source.read(band), 1)
    return target


def estarfm(dialogs: Any, images: Path, scratch: Path, window: int) -> np.ndarray:
    """Predict all bands; the result lies beside the target image."""
    from fuslib2021 import params

    params.w = window // 2
    from fuslib2021 import fusion_lib

    target = scratch / f"{TARGET}.tif"
    target.write_bytes((images / f"{TARGET}.tif").read_bytes())
    pairs = [images / f"{name}.tif" for name in (*PAIR, *SECOND)]
    answer(dialogs, scratch, iter([*pairs, target]))
    fusion_lib.estarfm()
    with rasterio.open(scratch / f"{TARGET}_ESTARFM_FAST.tif") as result:
        return result.read()


def main() -> None:
    method, window, images, scratch, output = sys.argv[1:]
    dialogs = prepare()
    predict = {"starfm": starfm, "estarfm": estarfm}[method]
    predicted = predict(dialogs, Path(images), Path(scratch), int(window)).astype(np.float32)
    with rasterio.open(Path(images) / f"{PAIR[0]}.tif") as source:
        profile = source.profile
    with rasterio.open(output, "w", **profile) as sink:
        sink.write(predicted)


if __name__ == "__main__":
    main()
