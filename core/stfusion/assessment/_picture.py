"""A picture of a fusion: images side by side on one stretch, and the error with its own colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Percentiles of the values that become black and white.
STRETCH = (2.0, 98.0)
#: Percentile of the error that gets the brightest colour.
ERROR_LIMIT = 99.0
COLUMNS = 3
PANEL_INCHES = 3.6
TITLE_INCHES = 0.35
COLOUR_BAR_INCHES = 1.0
DOTS_PER_INCH = 110
HATCH = "////"


@dataclass(frozen=True)
class Panel:
    """An image (bands, rows, cols) with its title; NaN stands for no data."""

    title: str
    image: NDArray[Any]


def default_bands(count: int) -> tuple[int, ...]:
    """Bands to show, from 1, of an image in the order blue, green, red, NIR: NIR, red and green, or the first alone."""
    return (4, 3, 2) if count >= 4 else (1,)


def draw(
    path: str | Path,
    panels: Sequence[Panel],
    error: Panel,
    bands: Sequence[int],
    error_label: str = "Mean absolute error of the bands",
) -> None:
    """Write a PNG with the panels and the error, three in a row.

    Parameters
    ----------
    path
        File to write.
    panels
        Images that share one stretch: the percentiles 2 and 98, per shown band, of the valid values of them all.
    error
        Absolute error (bands, rows, cols); the mean of its bands is shown. Pixels without data are hatched everywhere.
    bands
        Bands to show, from 1: red, green and blue of the picture, or a single one in grey.
    error_label
        Label of the colour bar, with the unit.

    Raises
    ------
    ValueError
        ``bands`` has neither one nor three numbers.
    """
    if len(bands) not in (1, 3):
        raise ValueError(f"A picture shows one band or three, and not {len(bands)}.")
    index = np.array(bands) - 1
    images = [panel.image[index].astype(np.float64) for panel in panels]
    limits = [_limits(np.concatenate([image[channel].ravel() for image in images])) for channel in range(len(bands))]
    rows = -(-(len(panels) + 1) // COLUMNS)
    tall = error.image.shape[1] / error.image.shape[2]
    size = PANEL_INCHES * COLUMNS + COLOUR_BAR_INCHES, (PANEL_INCHES * tall + TITLE_INCHES) * rows
    figure = Figure(size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel, image in zip(axes, panels, images, strict=False):
        _prepare(axis, panel.title)
        axis.imshow(_colours(image, limits), interpolation="none")
    _draw_error(figure, axes[len(panels)], error, error_label)
    figure.savefig(path, format="png")


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Values that become black and white."""
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, STRETCH) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _colours(image: NDArray[np.float64], limits: list[tuple[float, float]]) -> NDArray[np.float64]:
    """Red, green, blue and opacity (rows, cols, 4) in 0..1 of one or three stretched bands."""
    valid = np.logical_and.reduce(np.isfinite(image))
    stretched = [(band - low) / (high - low) for band, (low, high) in zip(image, limits, strict=True)]
    colours = np.clip(np.dstack(stretched * (3 // len(stretched))), 0, 1)
    return np.dstack([np.where(valid[..., None], colours, 0), valid])


def _prepare(axis: Axes, title: str) -> None:
    axis.set_axis_on()
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=11)
    axis.patch.set(facecolor="white", edgecolor="0.6", hatch=HATCH)


def _draw_error(figure: Figure, axis: Axes, error: Panel, label: str) -> None:
    shown = error.image.astype(np.float64).mean(0)
    valid = shown[np.isfinite(shown)]
    limit = float(np.percentile(valid, ERROR_LIMIT)) if valid.size else 1.0
    _prepare(axis, error.title)
    drawn = axis.imshow(np.ma.masked_invalid(shown), cmap="magma", vmin=0, vmax=limit or 1.0, interpolation="none")
    figure.colorbar(drawn, ax=axis, label=label, extend="max", shrink=0.85)
