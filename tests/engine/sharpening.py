"""Scenes to sharpen, and the filters that pansharpening is made of, on whole images in float64.

The filters are written down weight by weight from their definitions: they judge those of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from test_metrics import pattern

#: Gains of QuickBird's bands at the Nyquist frequency.
QUICKBIRD = (0.34, 0.32, 0.30, 0.22)
#: The B3 spline of the à trous transform.
SPLINE = np.array([1, 4, 6, 4, 1]) / 16


@dataclass(frozen=True)
class Scene:
    """A multispectral image (bands, rows, columns) and a panchromatic one with ``ratio`` as many rows and columns.

    ``border`` is how filters go on beyond the image, a mode of ``np.pad``; ``valid`` and ``valid_ms`` are the pixels
    that statistics are made of, all of them when None; the values elsewhere have been filled before.
    """

    ms: np.ndarray
    pan: np.ndarray
    ratio: int = 4
    gains: tuple[float, ...] = ()
    border: str = "edge"
    truth: np.ndarray | None = None
    valid: np.ndarray | None = field(default=None, repr=False)
    valid_ms: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def expanded(self) -> np.ndarray:
        """The multispectral image on the pixels of the panchromatic one: cubic convolution."""
        return np.array([enlarge(band, self.ratio) for band in self.ms])

    @property
    def levels(self) -> int:
        """Levels of a dyadic transform that go, as nearly as can be, from one resolution to the other."""
        return max(1, round(np.log2(self.ratio)))

    def gain(self, band: int) -> float:
        return self.gains[band] if self.gains else 0.3

    def mean(self, image: np.ndarray) -> float:
        return self._chosen(image).mean()

    def std(self, image: np.ndarray) -> float:
        return self._chosen(image).std()

    def cov(self, a: np.ndarray, b: np.ndarray) -> float:
        """Covariance, over the number of pixels."""
        a, b = self._chosen(a), self._chosen(b)
        return ((a - a.mean()) * (b - b.mean())).mean()

    def correlation(self, a: np.ndarray, b: np.ndarray) -> float:
        return self.cov(a, b) / np.sqrt(self.cov(a, a) * self.cov(b, b))

    def columns(self, *images: np.ndarray) -> np.ndarray:
        """The valid pixels of images, one column each."""
        return np.column_stack([self._chosen(image) for image in images])

    def _chosen(self, image: np.ndarray) -> np.ndarray:
        valid = self.valid if image.shape == self.pan.shape else self.valid_ms
        return image[valid] if valid is not None else image.ravel()

    def lowpass(self, gain: float = 0.3) -> np.ndarray:
        """The panchromatic image as a sensor of this gain at the multispectral Nyquist frequency sees it."""
        return smooth(self.pan, gain, self.ratio, self.border)

    def coarse_pan(self, gain: float = 0.3) -> np.ndarray:
        """The same in multispectral pixels."""
        return thin(self.lowpass(gain), self.ratio)


def set_a(bands: int = 4) -> Scene:
    """Stripes and squares whose values other programs have been run on: 64 x 64 and 256 x 256 pixels."""
    i, j = np.mgrid[:256, :256]
    pan = 300 + 2 * ((5 * i + 11 * j) % 97) + 80 * ((i // 16 + j // 16) % 2)
    return Scene(pattern(bands)[0], pan.astype(float))


def set_b() -> Scene:
    """A known truth of 128 x 128 pixels in four bands, as QuickBird's bands would see it at a quarter of it.

    The panchromatic image is a sum of the bands, rounded; that its mean is the published 483.0502 hangs on the order of
    the sum, since 862 of its values lie halfway between two numbers.
    """
    i, j = np.mgrid[:128, :128]
    base = 300 + 120 * np.sin(i / 9) * np.cos(j / 7) + 150 * ((i // 12 + j // 20) % 2) + 60 * ((i * j // 97) % 3)
    texture = (7 * i + 13 * j) % 64
    truth = np.array([
        np.rint(
            base * (0.6 + 0.15 * b) + 0.5 * texture * (1.2 - 0.2 * b) * (b + 1)
            + 80 * (((i // 16) * (b + 1) + j // 16) % 3)
        )
        for b in range(4)
    ])
    pan = np.rint((0.10 * truth[0] + 0.35 * truth[2]) + (0.30 * truth[1] + 0.25 * truth[3]))
    ms = [thin(smooth(band, gain, 4, "symmetric"), 4) for band, gain in zip(truth, QUICKBIRD, strict=True)]
    return Scene(np.array(ms), pan, 4, QUICKBIRD, "symmetric", truth)


def scaled(scene: Scene, factor: float) -> Scene:
    """The scene in another unit."""
    return replace(scene, ms=scene.ms * factor, pan=scene.pan * factor)


def filtered(image: np.ndarray, weights: np.ndarray, border: str) -> np.ndarray:
    """An image filtered along rows and columns by an odd number of weights."""
    reach = len(weights) // 2
    padded = np.pad(image, reach, border)
    for _ in range(2):
        size = padded.shape[0] - 2 * reach
        padded = sum(weight * padded[k : k + size] for k, weight in enumerate(weights)).T
    return padded


def sigma(gain: float, ratio: float) -> float:
    """Standard deviation of the Gaussian with this gain at the coarse Nyquist frequency, as toolboxes construct it."""
    return 41 / 40 * ratio / np.pi * np.sqrt(-2 * np.log(gain))


def gaussian(gain: float, ratio: int) -> np.ndarray:
    """Its weights, cut at five coarse pixels from the centre: 20 pixels at a ratio of 4."""
    weights = np.exp(-0.5 * (np.arange(-5 * ratio, 5 * ratio + 1) / sigma(gain, ratio)) ** 2)
    return weights / weights.sum()


def smooth(image: np.ndarray, gain: float, ratio: int, border: str = "edge") -> np.ndarray:
    return filtered(image, gaussian(gain, ratio), border)


def box(image: np.ndarray, side: int, border: str = "edge") -> np.ndarray:
    """Means of square windows with an odd side."""
    return filtered(image, np.full(side, 1 / side), border)


def spline(image: np.ndarray, levels: int, border: str = "edge") -> np.ndarray:
    """What the à trous transform leaves after its levels, each with weights twice as far apart."""
    weights = np.ones(1)
    for level in range(levels):
        apart = np.zeros(4 * 2**level + 1)
        apart[:: 2**level] = SPLINE
        weights = np.convolve(weights, apart)
    return filtered(image, weights, border)


def thin(image: np.ndarray, ratio: int) -> np.ndarray:
    """The values at the centres of the coarse pixels; of an even ratio the mean of the four pixels around a centre."""
    first, last = (ratio - 1) // 2, ratio // 2
    return np.mean([image[a::ratio, b::ratio] for a in (first, last) for b in (first, last)], axis=0)


def keys(distance: np.ndarray) -> np.ndarray:
    """Keys's weights of cubic convolution, a = -0.5."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def hat(distance: np.ndarray) -> np.ndarray:
    """Weights of linear interpolation."""
    return np.maximum(1 - np.abs(distance), 0)


def enlarge(image: np.ndarray, ratio: int, kernel=keys) -> np.ndarray:
    """An image interpolated between the centres of its pixels; its outermost pixels are repeated beyond it."""
    for _ in range(2):
        size = image.shape[0]
        places = (np.arange(size * ratio) + 0.5) / ratio - 0.5
        first = np.floor(places).astype(int)
        image = sum(
            kernel(places - first - k)[:, None] * image[np.clip(first + k, 0, size - 1)] for k in range(-1, 3)
        ).T
    return image


def toolbox_filter(gain: float, ratio: int, turned: bool = True) -> np.ndarray:
    """The 41 x 41 filter of the research toolboxes: a Gaussian of frequency cut out by Kaiser's window (beta 0.5).

    ``turned``: the window is turned around the centre, as it should be. A port to Python that many programs copied has
    it along the columns alone.
    """
    place = np.arange(-20, 21)
    across = 40 / (2 * ratio) / np.sqrt(-2 * np.log(gain))
    wanted = np.exp(-0.5 * (place[:, None] ** 2 + place**2) / across**2)
    found = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(wanted))).real
    kaiser = np.kaiser(41, 0.5)
    radius = np.hypot(place[:, None], place)
    return found * (np.where(radius <= 20, np.interp(radius, place, kaiser), 0.0) if turned else kaiser)
