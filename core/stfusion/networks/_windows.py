"""Windows of feature maps for attention, also shifted ones (Liu et al. 2021, doi:10.1109/ICCV48922.2021.00986).

Maps are (n, rows, columns, width), windows (n times their number, pixels, width). A side that is no longer than a
window's has one window of its own length, which is not shifted.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

#: Side of a window, and what masks out a pixel.
WINDOW = 8
_APART = -100.0


def parted(features: Tensor, shifted: bool) -> tuple[Tensor, tuple[int, int]]:
    """The windows of a map, and their rows and columns."""
    count, rows, columns, width = features.shape
    high, wide = min(WINDOW, rows), min(WINDOW, columns)
    if shifted:
        features = features.roll((-_shift(rows), -_shift(columns)), (1, 2))
    windows = features.view(count, rows // high, high, columns // wide, wide, width).transpose(2, 3)
    return windows.reshape(-1, high * wide, width), (high, wide)


def joined(windows: Tensor, shape: tuple[int, ...], shifted: bool) -> Tensor:
    """The map of some rows and columns that windows were parted from."""
    rows, columns = shape
    high, wide = min(WINDOW, rows), min(WINDOW, columns)
    features = windows.view(-1, rows // high, columns // wide, high, wide, windows.shape[-1]).transpose(2, 3)
    features = features.reshape(-1, rows, columns, windows.shape[-1])
    return features.roll((_shift(rows), _shift(columns)), (1, 2)) if shifted else features


@lru_cache(maxsize=32)
def attention_mask(rows: int, columns: int, shifted: bool, device: torch.device) -> Tensor | None:
    """What keeps pixels apart that a shift brought into one window: (windows, pixels, pixels) to add; none if needless.

    Numbering the parts that a shift leaves together, pixels of different numbers are apart.
    """
    if not shifted or not (_shift(rows) or _shift(columns)):
        return None
    # A tensor made in inference mode could not be used in a training.
    with torch.inference_mode(False):
        numbers = 3 * _parts(rows, device)[:, None] + _parts(columns, device)
        windows, _ = parted(numbers[None, ..., None], False)
        return torch.where(windows != windows.transpose(1, 2), _APART, 0.0)


def _shift(side: int) -> int:
    return WINDOW // 2 if side > WINDOW else 0


def _parts(side: int, device: torch.device) -> Tensor:
    """The number of the part that every row, or column, of a shifted map belongs to."""
    shift = _shift(side)
    if not shift:
        return torch.zeros(side, dtype=torch.long, device=device)
    place = torch.arange(side, device=device)
    return (place >= side - WINDOW).long() + (place >= side - shift).long()


@lru_cache(maxsize=32)
def position_index(rows: int, columns: int, device: torch.device) -> Tensor:
    """For every two pixels of a window the number (pixels, pixels) of their relative position in a whole window."""
    with torch.inference_mode(False):
        sides = [torch.arange(side, device=device) for side in (rows, columns)]
        place = torch.stack(torch.meshgrid(*sides, indexing="ij")).flatten(1)
        relative = place[:, :, None] - place[:, None, :] + WINDOW - 1
        return relative[0] * (2 * WINDOW - 1) + relative[1]
