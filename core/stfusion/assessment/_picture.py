"""Pictures: images side by side on one stretch, errors with a colour bar, scatter plots, classes and their spectra."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Percentiles of the values that become black and white.
STRETCH = (2.0, 98.0)
#: Percentile of the error that gets the brightest colour.
ERROR_LIMIT = 99.0
ERROR_LABEL = "Mean absolute error of the bands"
COLUMNS = 3
PANEL_INCHES = 3.6
TITLE_INCHES = 0.35
COLOUR_BAR_INCHES = 1.0
DOTS_PER_INCH = 110
HATCH = "////"
#: Cells along an axis of a scatter plot, and the percentiles of the values that it reaches.
SCATTER_CELLS, SCATTER_RANGE = 100, (0.1, 99.9)
SCATTER_INCHES, SCATTER_COLUMNS = 2.3, 6
HISTOGRAM_CELLS = 120
#: Groups of bars that a picture holds.
MOST_GROUPS = 60
#: Widths of a map and of a chart, and how many rows of a legend and names of bands have room.
MAP_INCHES, CHART_INCHES, LEGEND_ROWS, MOST_UPRIGHT = 7.0, 9.0, 18, 10

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Panel:
    """An image (bands, rows, cols) with its title; NaN stands for no data."""

    title: str
    image: NDArray[Any]


@dataclass(frozen=True)
class Look:
    """How images are shown so that they can be compared.

    ``bands`` are numbers from 1: one in grey, or red, green and blue; ``limits`` are what is black and white in each.
    ``error_limit`` gets the brightest colour of an error, ``error_label`` stands at its colour bar.

    Raises
    ------
    ValueError
        ``bands`` has neither one nor three numbers.
    """

    bands: Sequence[int]
    limits: list[tuple[float, float]]
    error_limit: float
    error_label: str

    @classmethod
    def of(
        cls, images: Sequence[NDArray[Any]], errors: Sequence[NDArray[Any]], bands: Sequence[int], label: str
    ) -> Look:
        """The look that suits images and absolute errors (bands, rows, columns): percentiles of all valid values."""
        if len(bands) not in (1, 3):
            raise ValueError(f"A picture shows one band or three, and not {len(bands)}.")
        limits = [_limits(np.concatenate([image[band - 1].ravel() for image in images])) for band in bands]
        shown = np.concatenate([error.mean(axis=0).ravel() for error in errors])
        shown = shown[np.isfinite(shown)]
        limit = float(np.percentile(shown, ERROR_LIMIT)) if shown.size else 1.0
        return cls(bands, limits, limit or 1.0, label)

    def colours(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Red, green, blue and opacity of an image as it is shown."""
        return _colours(image[np.array(self.bands) - 1].astype(np.float64), self.limits)


def default_bands(count: int) -> tuple[int, ...]:
    """Bands to show, from 1, of an image in the order blue, green, red, NIR: NIR, red and green, or the first alone."""
    return (4, 3, 2) if count >= 4 else (1,)


def draw(
    path: str | Path,
    panels: Sequence[Panel],
    error: Panel,
    bands: Sequence[int],
    error_label: str = ERROR_LABEL,
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
    """
    look = Look.of([panel.image for panel in panels], [error.image], bands, error_label)
    Path(path).write_bytes(maps(panels, look, error))


def maps(panels: Sequence[Panel], look: Look, error: Panel | None = None) -> bytes:
    """A PNG with images and then, if there is one, an absolute error (the mean of its bands), three in a row."""
    count = len(panels) + (error is not None)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    tall = panels[0].image.shape[1] / panels[0].image.shape[2]
    size = PANEL_INCHES * columns + COLOUR_BAR_INCHES, (PANEL_INCHES * tall + TITLE_INCHES) * rows
    figure = Figure(size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        _prepare(axis, panel.title)
        axis.imshow(look.colours(panel.image), interpolation="none")
    if error is not None:
        _draw_error(figure, axes[len(panels)], error, look)
    return _png(figure)


def scatter(predicted: NDArray[Any], truth: NDArray[Any], names: Sequence[str]) -> bytes:
    """A PNG with the density of predicted over true values (bands, rows, cols), a plot for each band, and the 1:1 line.

    NaN is left out; both axes reach over the percentiles 0.1 to 99.9 of the values of the band.
    """
    figure, axes = _plots(names)
    for axis, name, guess, fact in zip(axes, names, predicted, truth, strict=False):
        valid = np.isfinite(guess) & np.isfinite(fact)
        low, high = _limits(np.concatenate([guess[valid], fact[valid]]), SCATTER_RANGE)
        axis.hist2d(
            fact[valid],
            guess[valid],
            SCATTER_CELLS,
            range=((low, high), (low, high)),
            cmin=1,
            norm=LogNorm(),
            cmap="viridis",
        )
        axis.axline((low, low), slope=1, color="crimson", linewidth=0.8)
        axis.set(title=name, xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.title.set_fontsize(9)
        axis.tick_params(labelsize=6)
    figure.supxlabel("True", fontsize=8)
    figure.supylabel("Predicted", fontsize=8)
    return _png(figure)


def histograms(predicted: NDArray[Any], truth: NDArray[Any], names: Sequence[str]) -> bytes:
    """A PNG with the histograms of both images (bands, rows, cols), a plot for each band; NaN is left out."""
    figure, axes = _plots(names)
    for axis, name, guess, fact in zip(axes, names, predicted, truth, strict=False):
        valid = np.isfinite(guess) & np.isfinite(fact)
        limits = _limits(np.concatenate([guess[valid], fact[valid]]), SCATTER_RANGE)
        for values, colour, label in ((fact, "0.55", "Reference"), (guess, "crimson", "Fused")):
            axis.hist(values[valid], HISTOGRAM_CELLS, limits, histtype="step", color=colour, label=label)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=6)
        axis.set_yticks([])
    axes[0].legend(fontsize=6, frameon=False)
    return _png(figure)


def bars(values: Mapping[str, Sequence[float]], names: Sequence[str], label: str) -> bytes:
    """A PNG with horizontal bars: for every group of ``values``, one for each of the names (bands)."""
    groups = list(values)[:MOST_GROUPS]
    figure = Figure((7, 0.8 + 0.14 * len(groups) * (len(names) + 1)), dpi=DOTS_PER_INCH, layout="constrained")
    axis = figure.subplots()
    thick = 1 / (len(names) + 1)
    places = np.arange(len(groups))
    for number, name in enumerate(names):
        axis.barh(places + number * thick, [values[group][number] for group in groups], thick, label=name)
    axis.set_yticks(places + thick * (len(names) - 1) / 2, groups, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _plots(names: Sequence[str]) -> tuple[Figure, NDArray[Any]]:
    """A figure with a plot for each name, those that are left over without axes."""
    columns = min(SCATTER_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure((SCATTER_INCHES * columns, SCATTER_INCHES * rows + 0.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return figure, axes


def class_map(labels: NDArray[Any], colours: Mapping[int, Colour]) -> bytes:
    """A PNG with a map of classes (rows, columns) in their colours; what has none is hatched."""
    palette = np.zeros((max(colours) + 1, 4), np.uint8)
    for label, colour in colours.items():
        palette[label] = *colour, 255
    rows, columns = labels.shape
    figure = Figure((MAP_INCHES, MAP_INCHES * min(rows / columns, 2)), dpi=DOTS_PER_INCH, layout="constrained")
    axis = figure.subplots()
    _prepare(axis, "")
    axis.imshow(palette[labels], interpolation="none")
    return _png(figure)


def spectra(
    classes: Sequence[tuple[str, Colour, Sequence[float], Sequence[float]]], bands: Sequence[str]
) -> bytes:
    """A PNG with a line for each class: its name, colour, and mean and standard deviation of every band."""
    figure = Figure((CHART_INCHES, 0.6 * CHART_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axis, places = figure.subplots(), np.arange(len(bands))
    for name, colour, mean, std in classes:
        shade = tuple(part / 255 for part in colour)
        low, high = np.subtract(mean, std), np.add(mean, std)
        axis.fill_between(places, low, high, color=shade, alpha=0.15, linewidth=0)
        axis.errorbar(places, mean, std, color=shade, label=name, marker="o", markersize=3, capsize=2, linewidth=1.5)
    axis.set_xticks(places, bands, fontsize=8, rotation=45 if len(bands) > MOST_UPRIGHT else 0)
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", color="0.9")
    columns = -(-len(classes) // LEGEND_ROWS)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns)
    return _png(figure)


def curve(
    places: Sequence[int], lines: Mapping[str, Sequence[float | None]], marked: int, label: str
) -> bytes:
    """A PNG with a plot for each line over the same places, of which one is marked; None is left out."""
    figure = Figure((CHART_INCHES, 0.4 * CHART_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    for axis, (title, values) in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines.items(), strict=True):
        known = [np.nan if value is None else value for value in values]
        axis.axvline(marked, color="crimson", linewidth=0.8)
        axis.plot(places, known, color="0.3", marker="o", markersize=4)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=7)
    return _png(figure)


def timeline(
    lines: Mapping[str, Sequence[tuple[date, float, bool]]], limit: float, label: str
) -> bytes:
    """A PNG with the course of values over dates, a line for each name, a limit, and marked dates in red.

    A line has dates, values and whether the date is marked; unknown values (NaN) are left out.
    """
    figure = Figure((CHART_INCHES, 0.4 * CHART_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axis = figure.subplots()
    for (name, points), shape in zip(lines.items(), "os^v", strict=False):
        known = sorted(point for point in points if np.isfinite(point[1]))
        days, values = np.array([point[0] for point in known], "datetime64[D]"), [point[1] for point in known]
        (line,) = axis.plot(days, values, marker=shape, markersize=4, linewidth=0.8, label=name)
        marked = np.array([point[2] for point in known], bool)
        axis.plot(
            days[marked], np.array(values)[marked], shape, markersize=9, color="crimson", fillstyle="none",
            markeredgewidth=1.5, zorder=line.get_zorder() + 1,
        )
    axis.axhline(limit, color="0.5", linewidth=0.8, linestyle="--")
    axis.set_ylabel(label, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="0.92")
    axis.legend(fontsize=8, frameon=False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    # Its parts refer to one another, so that their arrays would stay until garbage is looked for.
    figure.clear()
    return stream.getvalue()


def _limits(values: NDArray[Any], percentiles: tuple[float, float] = STRETCH) -> tuple[float, float]:
    """Two percentiles of the valid values, the second above the first."""
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, percentiles) if values.size else (0.0, 1.0)
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


def _draw_error(figure: Figure, axis: Axes, error: Panel, look: Look) -> None:
    _prepare(axis, error.title)
    shown = np.ma.masked_invalid(error.image.astype(np.float64).mean(0))
    drawn = axis.imshow(shown, cmap="magma", vmin=0, vmax=look.error_limit, interpolation="none")
    figure.colorbar(drawn, ax=axis, label=look.error_label, extend="max", shrink=0.85)
