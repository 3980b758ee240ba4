"""The fit of k-means to sampled pixels by scikit-learn, and the choice of the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stfusion._spared import postponed, spared
from stfusion.classification._image import Floats
from stfusion.errors import UserError
from stfusion.run import Stop

Standardisation = Literal["none", "z-score", "min-max", "robust"]
Choice = Literal["silhouette", "elbow"]
Algorithm = Literal["full", "mini-batch"]

#: The most classes that a raster of bytes holds beside its nodata value; 255 is left free, as programs expect.
MOST_CLASSES = 254
#: Pixels that the silhouette is computed of: its cost grows with their square.
_SILHOUETTE_PIXELS = 2500
#: Pixels of which mostly enough are different, so that the others need not be looked at.
_GLANCE = 4096


@dataclass(frozen=True)
class Order:
    """What is to be fitted.

    ``classes`` to ``most`` classes, of which ``choice`` takes the best; ``restarts`` k-means++ starts, of which the
    least sum of squares is kept; at most ``iterations`` steps, until the centres move by less than ``tolerance`` times
    the mean variance of the bands (squared distance).
    """

    classes: int
    most: int
    choice: Choice = "silhouette"
    algorithm: Algorithm = "full"
    standardisation: Standardisation = "none"
    restarts: int = 5
    iterations: int = 300
    tolerance: float = 1e-4
    seed: int = 0


@dataclass(frozen=True)
class Scaling:
    """Bands are made comparable as (value - ``offset``) / ``scale`` (bands)."""

    kind: Standardisation
    offset: Floats
    scale: Floats


@dataclass(frozen=True)
class Trial:
    """What one number of classes gave: within-class sum of squares of the sample, scaled, and mean silhouette.

    The silhouette (-1..1, higher is better; Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7) is None where fewer than
    two classes are.
    """

    classes: int
    inertia: float
    silhouette: float | None


@dataclass(frozen=True)
class Fit:
    """Centres (classes, bands) in the image's unit, dark to bright.

    ``trials`` has one entry per number of classes tried, of which ``chosen`` is the one.
    """

    centres: Floats
    scaling: Scaling
    chosen: Trial
    trials: tuple[Trial, ...]

    @property
    def inertia(self) -> float:
        """Within-class sum of squares of the sample, scaled."""
        return self.chosen.inertia


def scaling(pixels: Floats, kind: Standardisation) -> Scaling:
    """How pixels (pixels, bands) are standardised; a band that is constant has the scale 1.

    z-score: mean and standard deviation (population); min-max: least value and range; robust: median and interquartile
    range.
    """
    offset, scale = np.zeros(pixels.shape[1]), np.ones(pixels.shape[1])
    if kind == "z-score":
        offset, scale = pixels.mean(axis=0), pixels.std(axis=0)
    elif kind == "min-max":
        offset, scale = pixels.min(axis=0), np.ptp(pixels, axis=0)
    elif kind == "robust":
        low, offset, high = np.percentile(pixels, [25, 50, 75], axis=0)
        scale = high - low
    # Of a constant band the mean's rounding may leave a standard deviation that is not quite zero.
    return Scaling(kind, offset, np.where(scale > 1e-12 * np.abs(offset), scale, 1.0))


def fit(pixels: Floats, order: Order, title: str, stop: Stop) -> Fit:
    """K-means of sampled pixels (pixels, bands) of the image called ``title``.

    The same for the same pixels and seed, whatever the number of threads.

    Raises
    ------
    UserError
        There is no valid pixel, there are fewer different pixels than classes, or the range of classes is empty or
        too large.
    """
    _check(pixels, order, title)
    scaled_by = scaling(pixels, order.standardisation)
    points = (pixels - scaled_by.offset) / scaled_by.scale
    fitted = {}
    for classes in range(order.classes, order.most + 1):
        stop.check()
        fitted[classes] = _k_means(points, classes, order)
    trials = {classes: _trial(points, classes, model, order) for classes, model in fitted.items()}
    best = choose(list(trials.values()), order.choice)
    centres: Floats = fitted[best].cluster_centers_ * scaled_by.scale + scaled_by.offset
    ordered = centres[np.argsort(centres.sum(axis=1), kind="stable")]
    return Fit(ordered, scaled_by, trials[best], tuple(trials.values()))


def _check(pixels: Floats, order: Order, title: str) -> None:
    if not 1 <= order.classes <= order.most <= MOST_CLASSES:
        raise UserError(
            f"{order.classes} to {order.most} classes are asked for; the numbers have to be between 1 and "
            f"{MOST_CLASSES}, the smaller first."
        )
    if order.most > order.classes == 1 and order.choice == "silhouette":
        raise UserError("One class has no silhouette; let the range of classes begin with 2, or choose by the elbow.")
    if not len(pixels):
        raise UserError(f"{title} has no valid pixel; check its nodata value and the mask.")
    distinct = len(np.unique(pixels[:_GLANCE], axis=0))
    if distinct < order.most:
        distinct = len(np.unique(pixels, axis=0))
    if distinct < order.most:
        raise UserError(
            f"{title} has {distinct} different pixels (of {len(pixels)} sampled) and {order.most} classes are asked "
            "for; take fewer classes."
        )


def _k_means(points: Floats, classes: int, order: Order) -> Any:
    # What takes longer than all the rest: pandas, for tables, which it is not given, and scipy.stats, for other parts.
    with suppress(ImportError, AttributeError, TypeError), spared("pandas"), postponed("scipy.stats"):
        import sklearn.cluster  # noqa: F401
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    kind = KMeans if order.algorithm == "full" else MiniBatchKMeans
    seed = order.seed % 2**32
    model = kind(classes, n_init=order.restarts, max_iter=order.iterations, tol=order.tolerance, random_state=seed)
    # Sums of several threads end in the order in which these happen to finish, and so differ from run to run.
    with threadpool_limits(1):
        return model.fit(points)


def _trial(points: Floats, classes: int, model: Any, order: Order) -> Trial:
    some = np.random.default_rng(order.seed).permutation(len(points))[:_SILHOUETTE_PIXELS]
    return Trial(classes, float(model.inertia_), _silhouette(points[some], model.labels_[some]))


def _silhouette(points: Floats, labels: npt.NDArray[np.integer[Any]]) -> float | None:
    """The mean silhouette of points (points, bands); None where they have one class, or each has one of its own.

    That of scikit-learn, at a fifth of its cost.
    """
    from scipy.spatial.distance import cdist

    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if not 2 <= len(classes) < len(points):
        return None
    member = np.eye(len(classes))[place]
    sums = cdist(points, points) @ member
    each = np.arange(len(points))
    own = sums[each, place] / np.maximum(counts[place] - 1, 1)
    other = np.where(member > 0, np.inf, sums / counts).min(axis=1)
    # A point that is alone in its class counts 0, and so does one that lies on points of both classes.
    apart = np.where(counts[place] > 1, other - own, 0.0)
    return float((apart / np.maximum(np.maximum(own, other), np.finfo(float).tiny)).mean())


def choose(trials: Sequence[Trial], by: Choice) -> int:
    """The number of classes with the highest silhouette, or at the elbow of the sums of squares; the least of equals.

    The elbow is the number whose sum of squares lies farthest below the straight line from the first to the last
    number (Satopää et al. 2011, doi:10.1109/ICDCSW.2011.20).
    """
    numbers = np.array([trial.classes for trial in trials], float)
    if by == "silhouette":
        merits = np.array([-1.0 if trial.silhouette is None else trial.silhouette for trial in trials])
    else:
        sums = np.array([trial.inertia for trial in trials])
        merits = np.interp(numbers, numbers[[0, -1]], sums[[0, -1]]) - sums
    return trials[int(np.argmax(merits))].classes
