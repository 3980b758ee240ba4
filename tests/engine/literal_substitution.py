"""Component substitution on whole images, line by line as the equations have it: judges of the engine's methods.

Symbols: E the multispectral image on the panchromatic pixels, P the panchromatic image, I the component it replaces.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import lsq_linear, nnls

from literal_full_resolution import shrunk
from sharpening import Scene, enlarge, smooth


def simple_mean(scene: Scene) -> np.ndarray:
    return (scene.expanded + scene.pan) / 2


def weighted(scene: Scene, weights=None) -> np.ndarray:
    """The intensity; equal weights unless some are given."""
    bands = len(scene.ms)
    return np.tensordot(np.full(bands, 1 / bands) if weights is None else weights, scene.expanded, 1)


def fitted_weights(scene: Scene) -> np.ndarray:
    """Weights that are not negative, by least squares of the panchromatic image in multispectral pixels."""
    return nnls(scene.columns(*scene.ms), scene.columns(scene.coarse_pan())[:, 0])[0]


def brovey(scene: Scene, weights=None) -> np.ndarray:
    """E P / I; 0 where I is 0, as GDAL has it."""
    intensity = weighted(scene, weights)
    some = intensity != 0
    return scene.expanded * np.where(some, scene.pan / np.where(some, intensity, 1), 0)


def matched(scene: Scene, image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """An image with the mean and the standard deviation of another one."""
    return (image - scene.mean(image)) * scene.std(like) / scene.std(image) + scene.mean(like)


def gihs(scene: Scene, weights=None, match: bool = False) -> np.ndarray:
    """E + (P - I)."""
    intensity = weighted(scene, weights)
    pan = matched(scene, scene.pan, intensity) if match else scene.pan
    return scene.expanded + (pan - intensity)


def pca_fusion(scene: Scene) -> np.ndarray:
    """The first principal component, whose loadings sum up to more than 0, is replaced by the matched P."""
    expanded = scene.expanded
    loading = np.linalg.eigh(np.cov(scene.columns(*expanded), rowvar=False))[1][:, -1]
    loading = loading if loading.sum() > 0 else -loading
    first = sum(v * (band - scene.mean(band)) for v, band in zip(loading, expanded, strict=True))
    return expanded + loading[:, None, None] * (matched(scene, scene.pan, first) - first)


def injected(scene: Scene, intensity: np.ndarray, pan: np.ndarray) -> np.ndarray:
    """E + cov(I, E) / var(I) (P - I)."""
    gains = [scene.cov(intensity, band) / scene.cov(intensity, intensity) for band in scene.expanded]
    return scene.expanded + np.array(gains)[:, None, None] * (pan - intensity)


def gram_schmidt(scene: Scene) -> np.ndarray:
    intensity = weighted(scene)
    return injected(scene, intensity, matched(scene, scene.pan, intensity))


def gsa_weights(scene: Scene, coarse_pan: np.ndarray | None = None) -> np.ndarray:
    """Weights of the bands, and the intercept, by least squares in multispectral pixels.

    The published table takes a Gaussian of gain 0.3 for P in these pixels; research toolboxes take the B3 spline.
    """
    pan = scene.coarse_pan() if coarse_pan is None else coarse_pan
    return np.linalg.lstsq(scene.columns(*scene.ms, np.ones_like(pan)), scene.columns(pan)[:, 0])[0]


def gsa(scene: Scene, coarse_pan: np.ndarray | None = None) -> np.ndarray:
    """P gets the mean of I, not its standard deviation."""
    *weights, intercept = gsa_weights(scene, coarse_pan)
    intensity = weighted(scene, weights) + intercept
    return injected(scene, intensity, scene.pan - scene.mean(scene.pan) + scene.mean(intensity))


#: Shares of the first percentile that are taken for haze: blue, green, red, near infrared.
HAZE = (0.95, 0.45, 0.40, 0.05)


def bt_h(scene: Scene, haze="minimum") -> np.ndarray:
    """Brovey's ratio of what is left without haze, the least of every band or a share of its first percentile.

    The weights are fitted on the panchromatic pixels, with a Gaussian of gain 0.3 that is not thinned, and without an
    intercept; P gets the mean and the standard deviation that this Gaussian lacks of I.
    """
    expanded, low = scene.expanded, scene.lowpass()
    columns = scene.columns(*expanded)
    hidden = columns.min(0) if haze == "minimum" else np.array(HAZE) * np.percentile(columns, 1, axis=0)
    weights = np.linalg.lstsq(columns, scene.columns(low)[:, 0])[0]
    clear = expanded - hidden[:, None, None]
    intensity = np.tensordot(weights, clear, 1)
    pan = (scene.pan - scene.mean(low)) * scene.std(intensity) / scene.std(low) + scene.mean(intensity)
    ratio = pan / (intensity + np.finfo(float).eps)
    return np.maximum(clear, 0) * ratio + hidden[:, None, None]


def _detail_columns(scene: Scene, pan_gain: float) -> tuple[np.ndarray, np.ndarray]:
    """In multispectral pixels: what the bands lose to their sensor once more, and the images it is explained by."""
    low = [smooth(band, scene.gain(k), scene.ratio, scene.border) for k, band in enumerate(scene.ms)]
    return scene.ms - np.array(low), np.array([*low, scene.coarse_pan(pan_gain)])


def bdsd(scene: Scene, block: int = 128, pan_gain: float = 0.15) -> np.ndarray:
    """E + [E, P] g, g by least squares in blocks of panchromatic pixels, of which the last ones take what is left."""
    lost, seen = _detail_columns(scene, pan_gain)
    full = np.array([*scene.expanded, scene.pan])
    fused = np.empty_like(scene.expanded)
    for rows in _blocks(scene.pan.shape[0], block):
        for columns in _blocks(scene.pan.shape[1], block):
            coarse = tuple(slice(part.start // scene.ratio, part.stop // scene.ratio) for part in (rows, columns))
            given = seen[(slice(None), *coarse)].reshape(len(seen), -1).T
            for k in range(len(lost)):
                g = np.linalg.lstsq(given, lost[(k, *coarse)].ravel())[0]
                fused[k, rows, columns] = full[k, rows, columns] + np.tensordot(g, full[:, rows, columns], 1)
    return fused


def _blocks(size: int, block: int) -> list[slice]:
    edges = [block * k for k in range(max(size // block, 1))]
    return [slice(a, b) for a, b in zip(edges, [*edges[1:], size], strict=True)]


def bdsd_pc(scene: Scene, pan_gain: float = 0.15) -> np.ndarray:
    """One block; the panchromatic coefficient is not negative, those of the bands are not positive."""
    lost, seen = _detail_columns(scene, pan_gain)
    full, given = np.array([*scene.expanded, scene.pan]), scene.columns(*seen)
    bounds = [-np.inf] * len(lost) + [0], [0] * len(lost) + [np.inf]
    gains = [lsq_linear(given, scene.columns(band)[:, 0], bounds, tol=1e-14).x for band in lost]
    return scene.expanded + np.tensordot(gains, full, 1)


def pracs(scene: Scene, beta: float = 0.95) -> np.ndarray:
    """Partial replacement; ``beta`` is 0.95 for 11 bits and 1.95 for 8 bits."""
    expanded, pan = scene.expanded, scene.pan
    bands = [np.maximum(matched(scene, band, pan), 0) for band in expanded]
    ones = np.ones_like(pan)

    def seen_through_bands(image: np.ndarray) -> np.ndarray:
        """The regression, on the bands, of an image that was taken to multispectral pixels and back."""
        low = enlarge(shrunk(image, scene.ratio, scene.border), scene.ratio)
        weights = np.linalg.lstsq(scene.columns(ones, *bands), scene.columns(low)[:, 0])[0]
        return np.tensordot(weights, np.array([ones, *bands]), 1)

    intensity = seen_through_bands(pan)
    mean_std = np.mean([scene.std(band) for band in expanded])
    fused = []
    for e, b in zip(expanded, bands, strict=True):
        share = scene.correlation(intensity, b)
        high = share * pan + (1 - share) * b
        low = seen_through_bands(high)
        detail = high - scene.mean(high) - (low - scene.mean(low))
        weight = beta * scene.correlation(low, e) * scene.std(e) / mean_std
        some = np.abs(low) > 1e-10
        quotient = np.where(some, e / np.where(some, low, 1), 1)
        local = np.clip(1 - np.abs(1 - scene.correlation(intensity, e) * quotient), -10, 10)
        fused.append(e + weight * local * detail)
    return np.array(fused)
