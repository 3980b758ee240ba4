"""How far one image is displaced against another, to a part of a pixel, and how far that can be trusted.

An image is compared, window by window and band by band, with what a reference looks like at its resolution, at all
displacements up to a largest one: by the correlation over the pixels that are valid in both (masked normalised cross
correlation, Padfield 2012, doi:10.1109/TIP.2011.2181402). The windows and bands are then taken together.

No threshold of the correlation tells a true match from a false one, since smooth images correlate by chance. What
chance can do is therefore measured on the images themselves: the windows of the image, mirrored and turned, have the
same values and the same texture and match nothing. A displacement counts where its peak stands out from the highest
of theirs, and where the windows and bands agree on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: Steps of a displacement along a pixel of the image.
STEPS = 4
#: Share of the valid pixels of a window that a displacement has to leave.
_OVERLAP = 0.5
#: Pixels of a window that have to be valid in both images.
LEAST_PIXELS = 24
#: Share of the windows and bands that have to agree, and how near to the common peak they have to be, in pixels.
_AGREEMENT, _NEAR = 0.5, 0.75
#: How far the peak has to stand out: the share of its height that is above the highest peak of turned windows.
_DISTINCT = 0.4
#: Standard errors that a displacement has to differ from none, and pixels below which none is spoken of.
_ERRORS, _SMALL = 3.0, 0.1


class Part(NamedTuple):
    """A window of a band, square: of the image (side, side), and of the reference as the image would see it.

    The reference stands on a lattice of :data:`STEPS` along a pixel and reaches beyond the window by as many steps on
    either side as are to be searched: (1 + STEPS (side - 1) + 2 reach, the same). ``window`` numbers the windows.
    """

    window: int
    image: Array
    reference: Array


class Peak(NamedTuple):
    """The highest correlation, and at how many pixels down and to the right it is found."""

    height: float
    rows: float
    columns: float


@dataclass(frozen=True)
class Displacement:
    """How far an image has to be moved to lie on its reference: pixels of the image, down and to the right.

    ``error`` is the standard error (rows, columns) by leaving out windows in turn. ``before`` and ``after`` are the
    correlations as the image lies and after the move. ``distinct`` says how far the peak stands out (0..1) and
    ``agreement`` is the share of the parts that agree. ``sure`` says whether there is a match at all, and ``moved``
    whether it is a displacement beyond its error; if not, ``reason`` says why in words.
    """

    rows: float
    columns: float
    error: tuple[float, float]
    before: float
    after: float
    distinct: float
    agreement: float
    sure: bool
    moved: bool
    reason: str

    @property
    def confidence(self) -> float:
        """What of the match can be trusted, 0..1: the less of how far it stands out and how far the parts agree."""
        return min(self.distinct, self.agreement)


def seen(lattice: Array) -> Array:
    """What pixels of the image would see of a band on the lattice: the mean of as many steps, down and to the right.

    The result is less by ``STEPS - 1`` rows and columns; NaN where less than half of the steps are valid.
    """
    valid = ~np.isnan(lattice)
    sums, counts = (_box(values) for values in (np.where(valid, lattice, 0.0), valid.astype(np.float64)))
    means = sums / np.maximum(counts, 1.0)
    return np.where(counts * 2 >= STEPS * STEPS, means, np.nan).astype(np.float32)


def _box(values: Floats) -> Floats:
    """Sums of STEPS x STEPS values."""
    sums = np.pad(values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    boxes: Floats = sums[STEPS:, STEPS:] - sums[:-STEPS, STEPS:] - sums[STEPS:, :-STEPS] + sums[:-STEPS, :-STEPS]
    return boxes


def surface(part: Part, reach: int, turned: Array | None = None) -> tuple[Floats, int]:
    """The correlations of a part at all displacements up to ``reach`` steps, and how many pixels of it are valid.

    The result (2 reach + 1, the same) is NaN where too few pixels remain. ``turned`` takes the place of the image.
    """
    image = part.image if turned is None else turned
    rows, columns = np.nonzero(~np.isnan(image))
    values = image[rows, columns].astype(np.float64)
    reference = part.reference.astype(np.float64)
    known = reference[~np.isnan(reference)]
    # Means are taken off first, so that sums of squares lose no digits.
    values -= values.mean() if values.size else 0.0
    reference -= known.mean() if known.size else 0.0
    least = max(LEAST_PIXELS, int(_OVERLAP * values.size))
    return _correlations(values, rows * STEPS, columns * STEPS, reference, reach, least), values.size


@compiled
def _correlations(
    values: Floats,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    reference: Floats,
    reach: int,
    least: int,
) -> Floats:
    """Pearson correlations of values with the reference at their places, moved by -reach to reach."""
    side = 2 * reach + 1
    found = np.full((side, side), np.nan)
    for dy in range(side):
        for dx in range(side):
            count, x, y, xx, yy, xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
            for place in range(values.size):
                other = reference[rows[place] + dy, columns[place] + dx]
                if not np.isnan(other):
                    own = values[place]
                    count += 1
                    x += own
                    y += other
                    xx += own * own
                    yy += other * other
                    xy += own * other
            if count >= least:
                spread_x, spread_y = xx - x * x / count, yy - y * y / count
                # What is constant but for rounding has no correlation.
                if spread_x > 1e-12 * xx and spread_y > 1e-12 * yy:
                    found[dy, dx] = (xy - x * y / count) / np.sqrt(spread_x * spread_y)
    return found


def together(surfaces: Sequence[Floats], weights: Sequence[int]) -> Floats:
    """The mean of surfaces by their weights; NaN where half of the weight or more is missing."""
    stack, shares = np.stack(surfaces), np.array(weights, float)[:, None, None]
    known = ~np.isnan(stack)
    total = (known * shares).sum(axis=0)
    sums = (np.where(known, stack, 0.0) * shares).sum(axis=0)
    return np.where(total * 2 > shares.sum(), sums / np.maximum(total, 1e-12), np.nan)


def peak(correlations: Floats) -> Peak | None:
    """The peak of a surface, to a part of a step by the parabola through it and its eight neighbours.

    None where the surface has no value.
    """
    if np.isnan(correlations).all():
        return None
    top, left = np.unravel_index(int(np.nanargmax(correlations)), correlations.shape)
    height, (down, right) = float(correlations[top, left]), _beside(correlations, int(top), int(left))
    centre = len(correlations) // 2
    return Peak(height, (top + down - centre) / STEPS, (left + right - centre) / STEPS)


def _beside(correlations: Floats, top: int, left: int) -> tuple[float, float]:
    """Where the parabola through the highest value and its neighbours is highest, within a step of it."""
    around = correlations[max(top - 1, 0) : top + 2, max(left - 1, 0) : left + 2]
    if around.shape != (3, 3) or np.isnan(around).any():
        return 0.0, 0.0
    down, right = np.mgrid[-1:2, -1:2].reshape(2, 9)
    terms = np.stack([np.ones(9), down, right, down * down, down * right, right * right], axis=1)
    _, b, c, d, e, f = np.linalg.lstsq(terms, around.ravel(), rcond=None)[0]
    bend = np.array([[2 * d, e], [e, 2 * f]])
    if not (bend[0, 0] < 0 and np.linalg.det(bend) > 0):
        return 0.0, 0.0
    place = np.linalg.solve(bend, (-b, -c))
    return float(np.clip(place[0], -1, 1)), float(np.clip(place[1], -1, 1))


def _turned(image: Array) -> list[Array]:
    """The image mirrored and turned in the seven ways that a square can be."""
    flipped = image[:, ::-1]
    return [np.rot90(image, k) for k in (1, 2, 3)] + [np.rot90(flipped, k) for k in (0, 1, 2, 3)]


def displacement(parts: Sequence[Part], reach: int) -> Displacement:
    """How far the image has to be moved for its windows to lie on the reference, at most ``reach`` steps.

    Parts with too few valid pixels or without any variation take no part.
    """
    found = [(part, *surface(part, reach)) for part in parts]
    usable = [(part, each, count) for part, each, count in found if not np.isnan(each).all()]
    common = together([each for _, each, _ in usable], [count for *_, count in usable]) if usable else None
    best = None if common is None else peak(common)
    if common is None or best is None:
        return _unknown("the two images have too few valid pixels in common, or no variation")
    own = [peak(each) for _, each, _ in usable]
    near = [abs(p.rows - best.rows) <= _NEAR and abs(p.columns - best.columns) <= _NEAR for p in own if p]
    chance = _chance([part for part, *_ in usable], reach)
    distinct = 1 - np.arctanh(chance) / np.arctanh(best.height) if best.height > chance else 0.0
    windows = [part.window for part, *_ in usable]
    error = _error([each for _, each, _ in usable], [count for *_, count in usable], windows)
    before = common[reach, reach]
    before = float(before) if not np.isnan(before) else 0.0
    return _judge(best, error, before, float(distinct), float(np.mean(near)), len(set(windows)), reach)


def _unknown(reason: str) -> Displacement:
    nothing = float("nan")
    return Displacement(nothing, nothing, (nothing, nothing), nothing, nothing, 0.0, 0.0, False, False, reason)


def _chance(parts: Sequence[Part], reach: int) -> float:
    """The highest peak that windows reach which match nothing, at least 0: the windows of the image, turned."""
    highest = 0.0
    turns = [_turned(part.image) for part in parts]
    for turn in range(7):
        found = [surface(part, reach, ways[turn]) for part, ways in zip(parts, turns, strict=True)]
        top = peak(together([each for each, _ in found], [count for _, count in found]))
        highest = max(highest, top.height if top else 0.0)
    return highest


def _error(surfaces: Sequence[Floats], weights: Sequence[int], windows: Sequence[int]) -> tuple[float, float]:
    """The standard error of the common peak, by leaving out one window in turn (jackknife); infinite for one window."""
    numbers = sorted(set(windows))
    places = []
    for left_out in numbers:
        kept = [index for index, window in enumerate(windows) if window != left_out]
        top = peak(together([surfaces[i] for i in kept], [weights[i] for i in kept])) if kept else None
        if top is not None:
            places.append((top.rows, top.columns))
    if len(places) < 2:
        return float("inf"), float("inf")
    spread = np.sqrt((len(places) - 1) * np.var(np.array(places), axis=0))
    return float(spread[0]), float(spread[1])


def _judge(
    best: Peak, error: tuple[float, float], before: float, distinct: float, agreement: float, windows: int, reach: int
) -> Displacement:
    edge = max(abs(best.rows), abs(best.columns)) * STEPS > reach - 1
    reason = ""
    if windows < 2:
        reason = "a single window has valid pixels, which is too few to agree on anything"
    elif distinct < _DISTINCT:
        reason = "the best match stands out too little from what chance gives"
    elif edge:
        reason = "the best match lies at the 'Largest displacement' that was searched; raise it"
    elif max(error) > _NEAR:
        reason = "the best match moves away when one of the windows is left out"
    elif agreement < _AGREEMENT:
        reason = f"only {agreement:.0%} of the windows and bands agree on the best match"
    sure = not reason
    sizes = [abs(size) > max(_SMALL, _ERRORS * wrong) for size, wrong in zip(best[1:], error, strict=True)]
    if sure and not (any(sizes) and best.height > before):
        reason = "that is too little beside its error to be mended"
    return Displacement(
        best.rows, best.columns, error, before, best.height, distinct, agreement, sure, not reason, reason
    )
