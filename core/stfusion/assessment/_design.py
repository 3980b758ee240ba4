"""The design of a stratified random sample: how many samples the wanted standard error takes, and where they go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from stfusion.assessment._confusion import Floats
from stfusion.errors import UserError

Allocation = Literal["equal", "proportional", "minimum", "neyman"]
#: Samples of a stratum that a standard error needs.
_LEAST = 2


def sample_size(sizes: Mapping[int, float], accuracy: float | Mapping[int, float], error: float) -> int:
    """Samples that make the standard error of the overall accuracy ``error`` (Olofsson et al. 2014, equation 13).

    (sum of W_i S_i / error)², W_i the share of stratum i and S_i = sqrt(U_i (1 - U_i)), U_i the user's accuracy that
    is expected of it (one for all, or one for each), rounded up.

    Raises
    ------
    UserError
        An accuracy is not between 0 and 1, the error is not above 0, or no stratum has a size.
    """
    if not error > 0:
        raise UserError(f"The wanted standard error is {error:g}; give a number above 0, such as 0.01.")
    weights = _weights(sizes)
    spread = sum(weights[name] * _deviation(name, accuracy) for name in weights)
    # A digit lost to rounding is not to ask for one sample more.
    return max(_LEAST * len(weights), math.ceil(round((spread / error) ** 2, 9)))


def allocate(
    total: int,
    sizes: Mapping[int, int],
    rule: Allocation = "minimum",
    accuracy: float | Mapping[int, float] = 0.8,
    minimum: int = 50,
) -> dict[int, int]:
    """Samples of every stratum of these numbers of pixels; ``total`` in all, fewer where there are not as many pixels.

    "equal" gives all strata as many, "proportional" shares by size, "minimum" gives every stratum ``minimum`` and
    shares the rest by size (Olofsson et al. 2014, section 5.1), "neyman" shares by W_i S_i as in
    :func:`sample_size`. Every stratum gets 2 at least, without which it has no standard error, and no more than its
    pixels; what it cannot take goes to the others.

    Raises
    ------
    UserError
        The total does not reach for the least that every stratum gets, an accuracy is not between 0 and 1, or no
        stratum has a size.
    """
    shares = _weights(sizes)
    if rule == "equal":
        shares = dict.fromkeys(shares, 1.0)
    elif rule == "neyman":
        shares = {name: share * _deviation(name, accuracy) for name, share in shares.items()}
    least = max(_LEAST, minimum) if rule == "minimum" else _LEAST
    found = {name: min(least, int(sizes[name])) for name in shares}
    if sum(found.values()) > total:
        raise UserError(
            f"{total} samples do not reach for {least} in each of {len(shares)} strata; take "
            f"{sum(found.values())} samples or more, fewer strata or a smaller minimum."
        )
    return _share_out(total, shares, found, sizes, on_top=rule == "minimum")


def _share_out(
    total: int, shares: Mapping[int, float], least: Mapping[int, int], sizes: Mapping[int, int], on_top: bool
) -> dict[int, int]:
    """Whole numbers by shares, between the least and the sizes; with ``on_top`` what is above the least is by shares.

    A scale for the shares is sought that makes the sum the total; what rounding leaves goes to the largest remainders.
    """
    names = list(shares)
    share = np.array([shares[name] for name in names])
    low, high = (np.array([float(limit[name]) for name in names]) for limit in (least, sizes))

    def at(scale: float) -> Floats:
        return np.clip(scale * share + (low if on_top else 0), low, high)

    # A stratum of share 0 takes what the others cannot.
    share = np.maximum(share, share.max() * 1e-12 if share.max() else 1.0)
    wanted = min(float(total), high.sum())
    bottom, top = 0.0, 1.0
    while at(top).sum() < wanted:
        top *= 2
    for _ in range(200):
        middle = (bottom + top) / 2
        bottom, top = (middle, top) if at(middle).sum() < wanted else (bottom, middle)
    exact = at(top)
    whole = np.floor(exact + 1e-9)
    remainders = np.where(whole < high, exact - whole, -1.0)
    first = np.argsort(-remainders, kind="stable")[: round(wanted - whole.sum())]
    whole[first] += 1
    return {name: int(number) for name, number in zip(names, whole, strict=True)}


def _weights(sizes: Mapping[int, float]) -> dict[int, float]:
    """The share of every stratum that has a size, by ascending number."""
    whole = sum(sizes.values())
    if not whole > 0:
        raise UserError("There is no stratum with any pixel; look at the nodata value and the mask of the strata.")
    return {name: sizes[name] / whole for name in sorted(sizes) if sizes[name] > 0}


def _deviation(name: int, accuracy: float | Mapping[int, float]) -> float:
    expected = accuracy if isinstance(accuracy, int | float) else accuracy.get(name, math.nan)
    if not 0 <= expected <= 1:
        raise UserError(f"The expected accuracy of class {name} is {expected:g}; give a number from 0 to 1.")
    return math.sqrt(expected * (1 - expected))
