"""Quality without a reference, written down as the papers and the research toolboxes have it, pixel by pixel."""

from __future__ import annotations

from itertools import combinations

import numpy as np

#: Half of the interpolator of the research toolboxes, from its centre.
TAPS = (
    0.5, 0.305334091185, 0, -0.072698593239, 0, 0.021809577942, 0, -0.005192756653, 0, 0.000807762146, 0,
    -0.000060081482,
)


def quality(x, y):
    """Wang and Bovik's index of two windows."""
    spread, power = x.var() + y.var(), x.mean() ** 2 + y.mean() ** 2
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return (2 * covariance / spread if spread else 1) * (2 * x.mean() * y.mean() / power if power else 1)


def blocks(shape, size=32):
    """The slices of whole blocks."""
    return [
        (slice(top, top + size), slice(left, left + size))
        for top in range(0, shape[0] - size + 1, size) for left in range(0, shape[1] - size + 1, size)
    ]


def mean_quality(x, y, valid=None, size=32):
    kept = [place for place in blocks(x.shape, size) if valid is None or valid[place].all()]
    return np.mean([quality(x[place], y[place]) for place in kept])


def d_lambda(fused, enlarged, valid=None):
    pairs = combinations(range(len(fused)), 2)
    return np.mean([
        abs(mean_quality(fused[i], fused[j], valid) - mean_quality(enlarged[i], enlarged[j], valid)) for i, j in pairs
    ])


def d_s(fused, enlarged, pan, blurred, valid=None):
    return np.mean([
        abs(mean_quality(f, pan, valid) - mean_quality(e, blurred, valid)) for f, e in zip(fused, enlarged, strict=True)
    ])


def multiply(a, b):
    """The textbook product of Cayley and Dickson: (p, q)(r, s) = (p r - s* q, s p + q r*); whole components first."""
    if len(a) == 1:
        return a * b
    half = len(a) // 2
    p, q, r, s = a[:half], a[half:], b[:half], b[half:]
    return np.concatenate([multiply(p, r) - multiply(conjugate(s), q), multiply(s, p) + multiply(q, conjugate(r))])


def conjugate(a):
    return np.concatenate([a[:1], -a[1:]])


def q2n(reference, fused, valid=None, rounded=False):
    """The index of hypercomplex numbers: mean over blocks of 32 x 32 pixels, of bands filled up to a power of two."""
    bands = len(reference)
    size = 1 << (bands - 1).bit_length()
    found = []
    for place in blocks(reference.shape[1:]):
        if valid is not None and not valid[place].all():
            continue
        r, f = (image[(slice(None), *place)].reshape(bands, -1).astype(float) for image in (reference, fused))
        if rounded:
            r, f = (np.maximum(np.floor(image + 0.5), 0) for image in (r, f))
        mean, deviation = r.mean(1, keepdims=True), r.std(1, ddof=1, keepdims=True)
        r, f = (r - mean) / deviation + 1, (f - mean) / deviation + 1
        r, f = (np.vstack([image, np.ones((size - bands, image.shape[1]))]) for image in (r, f))
        n = r.shape[1]
        f = conjugate(f)
        m_r, m_f = (image.mean(1, keepdims=True) for image in (r, f))
        power_r, power_f = (m_r**2).sum(), (m_f**2).sum()
        spread = n / (n - 1) * ((r**2).sum(0).mean() + (f**2).sum(0).mean() - power_r - power_f)
        covariance = n / (n - 1) * (multiply(r, f).mean(1) - multiply(m_r, m_f)[:, 0])
        bias = 2 * np.sqrt(power_r * power_f) / (power_r + power_f)
        found.append(np.sqrt((covariance**2).sum()) * 2 / spread * bias)
    return np.mean(found)


def d_rho(fused, pan, half=2):
    """Loss of local correlation in windows from one pixel less than half before to half after, inside the image."""
    def means(image):
        found = np.full(image.shape, np.nan)
        for i in range(half - 1, image.shape[0] - half):
            for j in range(half - 1, image.shape[1] - half):
                found[i, j] = image[i - half + 1 : i + half + 1, j - half + 1 : j + half + 1].mean()
        return found

    p = pan - means(pan)
    values = []
    for band in fused:
        b = band - means(band)
        xy, xx, yy = means(b * p), means(b * b), means(p * p)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.where(xx * yy > 0, xy / np.sqrt(xx * yy), np.nan)
        values.append(np.clip(r[np.isfinite(r)], -1, 1))
    return 1 - np.concatenate(values).mean()


def interpolated(image, ratio=4):
    """The 23-tap interpolation of the research toolboxes, with a circular border."""
    kernel = 2 * np.array([*TAPS[:0:-1], *TAPS])
    first = True
    while ratio > 1:
        large = np.zeros([2 * n for n in image.shape])
        place = 1 if first else 0
        large[place::2, place::2] = image
        for axis in (0, 1):
            large = sum(weight * np.roll(large, step - 11, axis) for step, weight in enumerate(kernel))
        image, ratio, first = large, ratio // 2, False
    return image


def shrunk(image, ratio=4, border="symmetric"):
    """Antialiased cubic convolution (a = -0.5), with a border that is mirrored with its edge repeated."""
    padded = np.pad(image, 2 * ratio, border)
    for size in image.shape:
        rows = []
        for n in range(size // ratio):
            centre = ratio * n + (ratio - 1) / 2 + 2 * ratio
            places = np.arange(int(np.ceil(centre - 2 * ratio)), int(np.floor(centre + 2 * ratio)) + 1)
            x = np.abs(places - centre) / ratio
            w = np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)
            rows.append((w[:, None] * padded[places]).sum(0) / w.sum())
        padded = np.array(rows).T
    return padded


def blurred(image, gain, ratio=4):
    """A Gaussian of the sensor's gain, cut at 20 pixels, with a border that is repeated."""
    sigma = 41 / 40 * ratio / np.pi * np.sqrt(-2 * np.log(gain))
    reach = 5 * ratio
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(image, reach, "edge")
    for _ in range(2):
        padded = sum(w * padded[k : k + padded.shape[0] - 2 * reach] for k, w in enumerate(kernel)).T
    return padded
