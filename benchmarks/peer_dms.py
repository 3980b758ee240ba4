"""Sharpens the coarse image of the target date with the fine image of another date by the package python-dms.

Arguments: fine image, coarse image, scratch folder, output. Run by the interpreter that has the package. The options
are those of the example that the package comes with, without its moving window.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from osgeo import gdal
from pyDMS.pyDMS import DecisionTreeSharpener

TREES = {"n_jobs": 1, "n_estimators": 30, "max_samples": 0.8, "max_features": 0.8, "random_state": 0}


def sharpen(fine: str, coarse: str) -> np.ndarray:
    """The fine band (rows, columns) that belongs to a coarse image of one band."""
    sharpener = DecisionTreeSharpener([fine], [coarse], baggingRegressorOpt=TREES)
    sharpener.trainSharpener()
    _, corrected = sharpener.residualAnalysis(sharpener.applySharpener(fine, coarse), coarse)
    return corrected.ReadAsArray()


def main() -> None:
    fine, coarse, scratch, output = sys.argv[1:]
    gdal.UseExceptions()
    predicted = []
    for band in range(1, gdal.Open(coarse).RasterCount + 1):
        single = str(Path(scratch) / f"{band}.tif")
        gdal.Translate(single, coarse, bandList=[band], outputType=gdal.GDT_Float32)
        predicted.append(sharpen(fine, single))
    grid = gdal.Open(fine)
    rows, columns = predicted[0].shape
    sink = gdal.GetDriverByName("GTiff").Create(output, columns, rows, len(predicted), gdal.GDT_Float32)
    sink.SetGeoTransform(grid.GetGeoTransform())
    sink.SetProjection(grid.GetProjection())
    for band, values in enumerate(predicted, start=1):
        sink.GetRasterBand(band).WriteArray(values)


if __name__ == "__main__":
    main()
