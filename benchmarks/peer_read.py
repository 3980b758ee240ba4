"""Reading two rasters block by block, which is the least that a comparison of them can cost.

``peer_read.py FUSED REFERENCE OUTPUT`` writes the mean difference of the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio


def main(fused: str, reference: str, output: str) -> None:
    """Read all blocks of both; the sums are all that is done with them."""
    total = count = 0
    with rasterio.open(fused) as first, rasterio.open(reference) as second:
        for _, window in first.block_windows(1):
            a, b = (source.read(window=window) for source in (first, second))
            total += int(a.sum(dtype=np.int64)) - int(b.sum(dtype=np.int64))
            count += a.size
    Path(output).write_text(f"{total / count!r}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
