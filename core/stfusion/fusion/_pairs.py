"""Predictions from several pairs made one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stfusion.fusion._blocks import MARGIN, CoarseScene, window_sums
from stfusion.raster.grids import Box
from stfusion.raster.source import Array

#: Changes are at least this, in reflectance, so that weights stay finite.
_LEAST = 1e-5
#: Coarse pixels from a pixel's own to the edge of the window whose change counts.
_REACH = 1


def combine(predictions: list[Array], changes: Iterable[Array], unit: float) -> Array:
    """The mean of the predictions of every pair, each weighted by the reciprocal of the mean square change since.

    So weighted, independent errors that grow with the change are smallest in the mean. Where one pair has a gap the
    other serves. ESTARFM (Zhu et al. 2010) weights by the reciprocal of the mean change, band by band; but changes that
    cancel one another in the mean, or show in other bands only, do not make a pair exact.

    Parameters
    ----------
    predictions
        (bands, rows, columns) of every pair, NaN where it cannot predict.
    changes
        (rows, columns): :func:`mean_square_change` since every pair; one at a time is enough.
    unit
        The value of reflectance 1.
    """
    weights = [1 / np.maximum(change, np.float32((_LEAST * unit) ** 2)) for change in changes]
    for prediction, weight in zip(predictions, weights, strict=True):
        weight[np.isnan(prediction[0]) | np.isnan(weight)] = 0
    with np.errstate(invalid="ignore"):
        shares = [weight / sum(weights) for weight in weights]
    combined = np.empty_like(predictions[0])
    for band, total in enumerate(combined):
        parts = [np.where(share > 0, share * p[band], share) for share, p in zip(shares, predictions, strict=True)]
        np.sum(parts, axis=0, out=total)
    return combined


def mean_square_change(coarse: CoarseScene, number: int, pixels: Box) -> Array:
    """Mean square coarse change since a pair, over the bands and 3 x 3 coarse pixels, between their centres.

    (rows, columns) of a window of fine pixels, NaN where it is unknown; interpolation may take it a little below 0.
    """
    grid = coarse.blocks
    blocks = grid.covering(pixels).grown(MARGIN, grid.shape)
    around = blocks.grown(_REACH, grid.shape)
    squares = ((coarse.target(around) - coarse.pair(number, around)) ** 2).mean(axis=0)
    valid = ~np.isnan(squares)
    counts = window_sums(valid.astype(np.float32), _REACH)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = window_sums(np.where(valid, squares, np.float32(0)), _REACH) / counts
    means[~valid] = np.nan
    fine: Array = grid.upsample(means[blocks.within(around)][None], blocks, pixels)[0]
    return fine
