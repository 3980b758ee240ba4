"""Attention among many pixels, bounded: what grows with the square of their number stays within windows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Longest side of a window, which has at most 1024 pixels; maps that are no larger are looked at as a whole.
SIDE = 32


def in_windows(attend: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """The map that ``attend`` makes of maps (n, width, rows, columns), window by window.

    The windows are as large as :data:`SIDE` allows and of nearly the same size. They follow from the size of the maps
    alone, so that patches of one size are treated alike, wherever they lie.
    """
    rows, columns = (-(-side // SIDE) for side in maps[0].shape[-2:])
    lines = zip(*(one.chunk(rows, -2) for one in maps), strict=True)
    return torch.cat([
        torch.cat([attend(*window) for window in zip(*(part.chunk(columns, -1) for part in line), strict=True)], -1)
        for line in lines
    ], -2)
