"""What zero-shot networks learn by: the image that they give has to agree with both images of the scene itself.

Made coarse again by the filter of the sensor it has to be the multispectral image, and its details have to go with
those of the panchromatic image (Ciotola, Vitale, Mazza, Poggi and Scarpa 2022,
https://doi.org/10.1109/TGRS.2022.3163887; Ciotola, Poggi and Scarpa 2023, https://doi.org/10.1109/TGRS.2023.3299356).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._network import Form
from stfusion.networks._sharpener import Sharpener
from stfusion.raster.resolution import Filter, gaussian, mtf_filter

#: Half sides of the windows in which details are compared, in multispectral pixels, and what they are compared with.
_NEAR, _WIDE = 0.5, 2.0
#: The gain of the filter that takes the details away, and what is added to variances (of values in 0..1).
_LOW, _LEAST = 0.3, 1e-6


def reprojected(image: Tensor, gains: tuple[float, ...], ratio: int) -> Tensor:
    """An image (n, bands, rows, columns) as the sensor with these gains and larger pixels sees it."""
    filters = [mtf_filter(gain, ratio) for gain in gains]
    return torch.cat([_along(image[:, k : k + 1], which, ratio) for k, which in enumerate(filters)], 1)


def _along(band: Tensor, which: Filter, step: int) -> Tensor:
    """A band filtered along both sides, its outermost pixels repeated."""
    weights = torch.tensor(which.weights, dtype=band.dtype, device=band.device)
    before, after = -which.start, which.stop - step
    wide = functional.pad(band, (before, after, before, after), mode="replicate")
    lines = functional.conv2d(wide, weights[None, None, None], stride=(1, step))
    return functional.conv2d(lines, weights[None, None, :, None], stride=(step, 1))


def low_passed(image: Tensor, ratio: int) -> Tensor:
    """An image without what pixels of the multispectral image could not show."""
    weights = gaussian(_LOW, ratio)
    which = Filter(weights, -(len(weights) // 2))
    return torch.cat([_along(image[:, k : k + 1], which, 1) for k in range(image.shape[1])], 1)


def correlation(one: Tensor, other: Tensor, half: int) -> Tensor:
    """The correlation of two images (n, bands, rows, columns) in a window around every pixel, in -1..1."""
    side = 2 * half + 1

    def mean(image: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.pad(image, (half,) * 4, mode="reflect"), side, stride=1)

    one_mean, other_mean = mean(one), mean(other)
    shared = mean(one * other) - one_mean * other_mean
    pairs = (one, one_mean), (other, other_mean)
    first, second = ((mean(image * image) - own * own).clamp_min(0) + _LEAST for image, own in pairs)
    return shared / torch.sqrt(first * second)


class ZeroShot(Sharpener):
    """A network that learns from a scene without a truth, and is built for the ratio and the gains of its sensor.

    ``weight`` is that of the structure in the loss, times how far the colours of the interpolated image are off: so
    much is at stake between the two, however large the range of a scene is beside its details.
    """

    needs_multispectral = True
    several = False
    skips = True
    targets = ("image",)
    weight: ClassVar[float] = 65.0

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.gains = form.gains or (_LOW,) * form.bands

    def reprojected(self, image: Tensor) -> Tensor:
        """A sharpened image as the sensor of the multispectral one sees it."""
        return reprojected(image, self.gains, self.form.ratio)

    def spectral(self, image: Tensor, batch: SharpeningBatch) -> dict[str, Tensor]:
        """The losses of the colours of an image: how far it is from the multispectral one when it is made coarse."""
        error = (self.reprojected(image) - known(batch.multispectral)).abs()
        return {"spectral": self._mean(error, self._coarse_valid(batch))}

    def structural(self, image: Tensor, batch: SharpeningBatch) -> Tensor:
        """How much details differ from those of the panchromatic image, where they go together less than before.

        That is 1 less the local correlation, where it is below that of both images without their details, which was
        found in larger windows.
        """
        ratio = self.form.ratio
        with torch.no_grad():
            most = correlation(batch.expanded, low_passed(batch.pan, ratio), _half(_WIDE, ratio, batch))
        found = correlation(image, batch.pan, _half(_NEAR, ratio, batch))
        return self._mean((1 - found) * (found < most), batch.valid)

    def forward(self, part: str, batch: SharpeningBatch) -> dict[str, Tensor]:
        """The losses of colours and of structure; where a truth is known, the mean absolute error."""
        return self.losses(self.predict(batch), batch) if batch.truth is None else super().forward(part, batch)

    def losses(self, image: Tensor, batch: SharpeningBatch) -> dict[str, Tensor]:
        """The losses of an image, by name."""
        with torch.no_grad():
            stake = torch.stack(list(self.spectral(batch.expanded, batch).values())).sum()
        return {**self.spectral(image, batch), "structural": self.weight * stake * self.structural(image, batch)}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with a rate for weights that begin from nothing."""
        return torch.optim.Adam(self.net.parameters(), 1e-3)

    def _coarse_valid(self, batch: SharpeningBatch) -> Tensor | None:
        if batch.valid is None:
            return None
        return functional.avg_pool2d(batch.valid.float(), self.form.ratio) > 1 - 1 / (2 * self.form.ratio**2)

    @staticmethod
    def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
        if valid is None:
            return values.mean()
        return (values * valid).sum() / (valid.sum() * values.shape[1]).clamp_min(1)


def _half(share: float, ratio: int, batch: SharpeningBatch) -> int:
    """Half the side of a window; one that is reflected at the edge fits into the image."""
    return int(min(np.ceil(share * ratio), min(batch.shape[2:]) - 1))
