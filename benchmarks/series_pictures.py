"""Pictures of a series: some of its dates, all of them as an animation, and its course over time as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stfusion.assessment._picture import CHART_INCHES, DOTS_PER_INCH, Look, Panel, maps

Images = Mapping[date, NDArray[Any]]

#: Milliseconds of a date, greys, and the height of the captions in screen pixels, in an animation.
MILLISECONDS, GREYS, CAPTION = 200, 16, 16
INCHES_OF_A_PLOT = 1.9


def read(path: str | Path, mask: str | Path | None = None, nodata: float | None = None) -> NDArray[Any]:
    """An image, NaN where it has no data or its mask is not 0."""
    with rasterio.open(path) as source:
        image: NDArray[Any] = source.read(masked=True).astype(float).filled(np.nan)
    if nodata is not None:
        image[image == nodata] = np.nan
    if mask is not None:
        with rasterio.open(mask) as source:
            image[:, source.read(1) != 0] = np.nan
    return image


def day_of(path: str | Path) -> date:
    """The date at the end of a file's name."""
    return date.fromisoformat(f"{(text := Path(path).stem[-8:])[:4]}-{text[4:6]}-{text[6:]}")


def look_of(images: Images) -> Look:
    """One stretch for all images."""
    return Look.of(list(images.values()), [np.zeros((1, 1, 1))], (1,), "")


def picture(path: Path, panels: Sequence[tuple[str, NDArray[Any]]], look: Look) -> None:
    """Some images with their titles, three in a row."""
    path.write_bytes(maps([Panel(title, _enlarged(image, panels[0][1])) for title, image in panels], look))


def animate(path: Path, columns: Mapping[str, Images], days: Sequence[date], look: Look, enlarged: int) -> None:
    """An animation: a column for each name; what has no image of a date is white, and no data is white, too."""
    fine = max((image for images in columns.values() for image in images.values()), key=np.size)
    frames = []
    for day in days:
        parts = [_greys(images.get(day), fine, look, enlarged) for images in columns.values()]
        frame = Image.fromarray(np.hstack(parts))
        frame = _captioned(frame, [f"{day} {name}".strip() for name in columns])
        frames.append(frame.quantize(GREYS, dither=Image.Dither.NONE))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, optimize=True)


def _greys(image: NDArray[Any] | None, fine: NDArray[Any], look: Look, enlarged: int) -> NDArray[np.uint8]:
    shown = np.full(fine.shape, np.nan) if image is None else _enlarged(image, fine)
    grey = np.where(np.isnan(shown[0]), 1.0, look.colours(shown)[..., 0])
    return np.kron(np.uint8(np.rint(255 * grey)), np.ones((enlarged, enlarged), np.uint8))


def _enlarged(image: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """A coarse image on the pixels of a fine one that it nests in."""
    ratio = like.shape[1] // image.shape[1]
    return np.kron(image, np.ones((1, ratio, ratio)))


def _captioned(frame: Image.Image, captions: Sequence[str]) -> Image.Image:
    whole = Image.new("L", (frame.width, frame.height + CAPTION), 255)
    whole.paste(frame, (0, CAPTION))
    drawing, font = ImageDraw.Draw(whole), ImageFont.load_default(CAPTION - 4)
    for number, caption in enumerate(captions):
        drawing.text((2 + number * frame.width // len(captions), 0), caption, 0, font)
    return whole


@dataclass(frozen=True)
class Course:
    """What is known of a series over time; values of 1 are stored as ``unit``.

    ``valid`` has the valid share of every fine image, ``pairs`` the dates of those that are used, ``means`` the mean
    value of every image by stack, ``errors`` the RMSE of the fine images that were left out, by method.
    """

    name: str
    unit: float
    valid: Mapping[date, float]
    pairs: set[date]
    means: Mapping[str, Mapping[date, float]] = field(default_factory=dict)
    errors: Mapping[str, Mapping[date, float]] = field(default_factory=dict)


def chart(path: Path, course: Course) -> None:
    """Three plots above one another: which fine images are valid and used, mean values, and errors."""
    figure = Figure((CHART_INCHES, 3 * INCHES_OF_A_PLOT), dpi=DOTS_PER_INCH, layout="constrained")
    shares, means, errors = figure.subplots(3, 1, sharex=True)
    for used, label, look in ((True, "used", "0.35"), (False, "not used", "white")):
        bars = {day: share for day, share in course.valid.items() if (day in course.pairs) == used}
        shares.bar(_days(bars), [100 * share for share in bars.values()], 5, color=look, edgecolor="0.35", label=label)
    shares.set_ylim(0, 100)
    _label(shares, "Valid pixels of\nfine images (%)")
    for (name, values), shape in zip(course.means.items(), ("s-", "o-", "D"), strict=False):
        means.plot(_days(values), [value / course.unit for value in values.values()], shape, markersize=4,
                   linewidth=0.8, label=name)
    _label(means, f"Mean {course.name}")
    for (name, values), shape in zip(course.errors.items(), "os^v", strict=False):
        errors.plot(_days(values), [value / course.unit for value in values.values()], shape, markersize=5, label=name)
    errors.set_ylim(0)
    _label(errors, "RMSE of fine images\nthat are left out")
    figure.savefig(path)


def _days(values: Mapping[date, Any]) -> NDArray[Any]:
    return np.array(list(values), "datetime64[D]")


def _label(axis: Axes, text: str) -> None:
    axis.set_ylabel(text, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="0.92")
    axis.set_axisbelow(True)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
