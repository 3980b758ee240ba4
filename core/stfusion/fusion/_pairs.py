"""Predictions from several pairs made one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stfusion.fusion._blocks import MARGIN, CoarseScene
from stfusion.raster.source import Array, Box

#: What keeps the weights finite, in reflectance.
_EPSILON = 1e-10
#: Coarse pixels from a pixel's own to the edge of the window whose mean change counts.
_REACH = 1


def combine(predictions: list[Array], changes: Iterable[Array], unit: float) -> Array:
    """The mean of the predictions of every pair, each weighted by the reciprocal of the coarse change since the pair.

    Where one pair has a gap the other serves. ESTARFM (Zhu et al. 2010) weights so band by band; here the root mean
    square over the bands decides, since a change that crosses zero in one band does not make a pair exact.

    Parameters
    ----------
    predictions
        (bands, rows, columns) of every pair, NaN where it cannot predict.
    changes
        The same shape: mean difference of the coarse images between the pair's date and the target date, of any sign;
        one at a time is enough.
    unit
        The value of reflectance 1.
    """
    weights = [1 / (np.sqrt((change**2).mean(axis=0)) + np.float32(_EPSILON * unit)) for change in changes]
    for prediction, weight in zip(predictions, weights, strict=True):
        weight[np.isnan(prediction[0]) | np.isnan(weight)] = 0
    with np.errstate(invalid="ignore"):
        shares = [weight / sum(weights) for weight in weights]
    combined = np.empty_like(predictions[0])
    for band, total in enumerate(combined):
        parts = [np.where(share > 0, share * p[band], share) for share, p in zip(shares, predictions, strict=True)]
        np.sum(parts, axis=0, out=total)
    return combined


def mean_change(coarse: CoarseScene, number: int, pixels: Box) -> Array:
    """Mean coarse change (bands, rows, columns) since a pair around the pixels of a window, NaN where it is unknown."""
    grid = coarse.blocks
    blocks = grid.covering(pixels).grown(MARGIN, grid.shape)
    around = blocks.grown(_REACH, grid.shape)
    means = _window_means(coarse.target(around) - coarse.pair(number, around))
    rows, columns = blocks.within(around)
    return grid.upsample(means[:, rows, columns], blocks, pixels)


def _window_means(values: Array) -> Array:
    """Means (bands, rows, columns) of the valid values in the window around each; an invalid value stays NaN."""
    side = 2 * _REACH + 1
    padded = np.pad(values, ((0, 0), (_REACH, _REACH), (_REACH, _REACH)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    means: Array = np.nanmean(np.where(np.isnan(values)[..., None, None], np.float32(0), around), axis=(3, 4))
    means[np.isnan(values)] = np.nan
    return means
