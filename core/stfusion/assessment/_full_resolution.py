"""Quality of a fused image without a reference: how it agrees with the coarse image and the panchromatic one.

Symbols: F the fused image, M the coarse image enlarged to its grid, P the panchromatic image, L the same without the
detail that the coarse image lacks. Q is Wang and Bovik's index, the mean over blocks of 32 x 32 pixels that do not
overlap; a block counts where all of its pixels are valid in all images that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._hypercomplex import BLOCK, moments, q2n, quality
from stfusion.assessment._metrics import Metric

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

#: Half the side of the windows of the local correlation, in fine pixels.
HALF = 2
_ALPARONE = "(Alparone et al. 2008, doi:10.14358/PERS.74.2.193)"
INDICES: Mapping[str, Metric] = {
    "d_lambda": Metric(
        "D_lambda", "low",
        f"Spectral distortion {_ALPARONE}: mean over the pairs of bands of |Q(F_i, F_j) - Q(M_i, M_j)|. Needs the "
        "coarse image.", spectral=True,
    ),
    "d_s": Metric(
        "D_s", "low",
        f"Spatial distortion {_ALPARONE}: mean over the bands of |Q(F_k, P) - Q(M_k, L)|. Needs the coarse and the "
        "panchromatic image.", spectral=True,
    ),
    "qnr": Metric("QNR", "high", f"Quality with no reference {_ALPARONE}: (1 - D_lambda)(1 - D_s).", spectral=True),
    "d_lambda_k": Metric(
        "D_lambda, Khan", "low",
        "Spectral distortion (Khan et al. 2009, doi:10.1109/TGRS.2009.2029094): 1 - Q2n of M and of F as the coarse "
        "sensor would see it (a Gaussian of its modulation transfer function). Needs the coarse image.", spectral=True,
    ),
    "hqnr": Metric(
        "HQNR", "high", "Hybrid quality with no reference: (1 - D_lambda of Khan)(1 - D_s).", spectral=True
    ),
    "d_rho": Metric(
        "D_rho", "low",
        "Loss of local correlation with the panchromatic image (Scarpa and Ciotola 2022, doi:10.3390/rs14081808): 1 - "
        "mean over pixels and bands of the correlation of F and P in windows of 4 x 4 pixels. Needs the panchromatic "
        "image.", spectral=True,
    ),
}


@dataclass(frozen=True)
class Evidence:
    """Sums over the blocks and pixels of a part of the images; those of two parts add up.

    ``pairs`` of the bands of F and of M (2, pairs), ``pan`` of F with P and of M with L (2, bands), ``khan`` of M and
    F (1), with the number of ``blocks`` of the first and the last, and of the second (2); ``rho`` sum and number (2).
    """

    pairs: Floats
    pan: Floats
    khan: Floats
    blocks: Floats
    rho: Floats

    @classmethod
    def none(cls, bands: int) -> Evidence:
        """No evidence yet."""
        return cls(np.zeros((2, bands * (bands - 1) // 2)), np.zeros((2, bands)), np.zeros(1), np.zeros(2), np.zeros(2))

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def compare(
        self, fused: Image, enlarged: Image, filtered: Image, pan: Image | None, blurred: Image | None,
        whole_numbers: bool, block: int = BLOCK,
    ) -> None:
        """Add the blocks of F, M, F as the coarse sensor would see it, P and L (bands, rows, columns).

        Q2n is of whole numbers where asked; ``block`` is the side of the blocks of Q.
        """
        bands, images = len(fused), [(fused, pan), (enlarged, blurred)]
        kept = _whole_blocks([image for both in images for image in both if image is not None], block)
        pairs = np.array([*combinations(range(bands), 2)], np.intp).reshape(-1, 2)
        with_pan = np.array([(band, bands) for band in range(bands)])
        for place, (image, sharp) in enumerate(images):
            blocks = moments(image, image[:0] if sharp is None else sharp, kept, block)
            self.pairs[place] += quality(blocks, pairs).sum(axis=0)
            if sharp is not None:
                self.pan[place] += quality(blocks, with_pan).sum(axis=0)
        self.khan[:] += q2n(moments(enlarged, filtered, kept, block, whole_numbers, False), block * block)[0].sum()
        count = int(np.count_nonzero(kept))
        self.blocks[:] += count, 0 if pan is None else count

    def correlate(self, fused: Image, pan: Image) -> None:
        """Add the local correlation of F and P in the windows inside a part with its margin (bands, rows, columns)."""
        p = centred(pan[0].astype(np.float64))
        for band in fused:
            found = correlation(centred(band.astype(np.float64)), p)
            found = found[~np.isnan(found)]
            self.rho[:] += np.clip(found, -1, 1).sum(), found.size

    @property
    def some(self) -> bool:
        """Whether there is any."""
        return bool(self.blocks.any() or self.rho.any())

    def indices(self) -> dict[str, float]:
        """The indices by name; NaN for those that there is no evidence for."""
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs, khan = self.pairs / self.blocks[0], 1 - float(self.khan[0] / self.blocks[0])
            d_s = float(np.abs(np.subtract(*(self.pan / self.blocks[1]))).mean())
            d_rho = 1 - float(self.rho[0] / self.rho[1])
        d_lambda = float(np.abs(pairs[0] - pairs[1]).mean()) if pairs.size else np.nan
        return {
            "d_lambda": d_lambda, "d_s": d_s, "qnr": (1 - d_lambda) * (1 - d_s),
            "d_lambda_k": khan, "hqnr": (1 - khan) * (1 - d_s), "d_rho": d_rho,
        }

    def reasons(self, coarse: bool, pan: bool) -> list[str]:
        """Why indices are unknown that the images which are given should give, in sentences."""
        blockless, one_band = not self.blocks[0], not self.pairs.size
        rules = (
            (coarse and blockless, "D_lambda, D_s, QNR and HQNR are unknown: no block of 32 x 32 pixels is valid in "
             "all images."),
            (coarse and one_band and not blockless, "D_lambda and QNR are unknown: they need two bands."),
            (pan and not self.rho[1], "D_rho is unknown: no window is valid in both images and varies in both."),
        )
        return [sentence for holds, sentence in rules if holds]


def _whole_blocks(images: list[Image], size: int) -> NDArray[np.bool_]:
    """The blocks (rows, columns) that are valid throughout in all images; those that the images end in are none."""
    rows, columns = (n // size * size for n in images[0].shape[1:])
    gaps = np.logical_or.reduce([np.isnan(image[0, :rows, :columns]) for image in images])
    whole: NDArray[np.bool_] = ~gaps.reshape(rows // size, size, columns // size, size).any(axis=(1, 3))
    return whole


def centred(image: Floats) -> Floats:
    """An image less the means of its windows of 2 HALF pixels, from one before the pixel to two after it."""
    inner = image[HALF - 1 : len(image) - HALF, HALF - 1 : image.shape[1] - HALF]
    return inner - _windows(image) / (2 * HALF) ** 2


def correlation(a: Floats, b: Floats) -> Floats:
    """Sum of products over the root of the sums of squares of two centred images, window by window.

    NaN where a pixel is invalid or one of the two is constant.
    """
    aa, bb, ab = _windows(a * a), _windows(b * b), _windows(a * b)
    product = aa * bb
    return np.divide(ab, np.sqrt(product), out=np.full_like(ab, np.nan), where=product > 0)


def _windows(image: Floats) -> Floats:
    """Sums of the windows of 2 HALF pixels inside an image, the same whatever the part."""
    for _ in range(2):
        count = len(image) - 2 * HALF + 1
        image = sum((image[step : step + count] for step in range(1, 2 * HALF)), image[:count]).T
    return image
