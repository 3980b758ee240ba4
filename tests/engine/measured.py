"""The assessment of images that are arrays, in one piece."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._measure import Facts, Terms, conclude, measure
from stfusion.assessment._metrics import Assessment


def assess(predicted: NDArray[Any], truth: NDArray[Any], terms: Terms | None = None) -> Assessment:
    """Compare images (bands, rows, columns) where both are valid in all bands; NaN stands for no data."""
    terms = terms or Terms()
    valid = np.isfinite(predicted).all(0) & np.isfinite(truth).all(0)
    facts = Facts.of(truth, valid)
    return conclude(measure(predicted, truth, valid, valid.shape, facts, terms), facts, valid.size, terms)
