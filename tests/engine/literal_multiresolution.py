"""Multiresolution analysis and local statistics on whole images, as the equations have it: judges of the engine.

Symbols: E the multispectral image on the panchromatic pixels, P the panchromatic image, P_L what its low-pass leaves.
"""

from __future__ import annotations

import numpy as np

from sharpening import Scene, box, enlarge, spline

#: Orthonormal low-pass filters, by the number of vanishing moments (Daubechies 1988).
WAVELETS = {
    "haar": np.array([1, 1]) / np.sqrt(2),
    "db2": np.array([1 + np.sqrt(3), 3 + np.sqrt(3), 3 - np.sqrt(3), 1 - np.sqrt(3)]) / (4 * np.sqrt(2)),
}


def each(scene: Scene, fuse) -> np.ndarray:
    return np.array([fuse(k, band) for k, band in enumerate(scene.expanded)])


def hpf(scene: Scene, side: int = 0, matched: bool = False) -> np.ndarray:
    """E + (P - P_L), with the gain std(E) / std(P) where it is ``matched``."""
    detail = scene.pan - box(scene.pan, side or 2 * scene.ratio + 1, scene.border)
    return each(scene, lambda k, e: e + detail * (gain(scene.std(e), scene.std(scene.pan)) if matched else 1))


def quotient(image: np.ndarray, low: np.ndarray) -> np.ndarray:
    """A ratio that is 1 where there is nothing to divide by, as Orfeo ToolBox has it."""
    some = np.abs(low) > 1e-10
    return np.where(some, image / np.where(some, low, 1), 1)


def gain(part: float, whole: float) -> float:
    """A gain that is 0 where there is nothing to divide by: a constant P has no details."""
    return part / whole if whole > 1e-12 else 0.0


def sfim(scene: Scene, side: int = 0) -> np.ndarray:
    """E P / P_L."""
    return scene.expanded * quotient(scene.pan, box(scene.pan, side or 2 * scene.ratio + 1, scene.border))


def matched(scene: Scene, e: np.ndarray, low: np.ndarray) -> np.ndarray:
    """P with the mean of a band, and with its standard deviation over that of a low-pass."""
    return (scene.pan - scene.mean(scene.pan)) * gain(scene.std(e), scene.std(low)) + scene.mean(e)


def atwt(scene: Scene) -> np.ndarray:
    """E + P' - A(P'); the published table has P' matched to a band with the standard deviation of P itself."""
    def fuse(k, e):
        pan = matched(scene, e, scene.pan)
        return e + pan - spline(pan, scene.levels, scene.border)

    return each(scene, fuse)


def awlp(scene: Scene) -> np.ndarray:
    """E + (P - A(P)) E / mean(E); the published table has P as it is, without any matching.

    A pixel whose bands have no positive mean gets as much of the detail in every band.
    """
    detail = scene.pan - spline(scene.pan, scene.levels, scene.border)
    intensity = scene.expanded.mean(0)
    some = intensity > 0
    return scene.expanded + detail * np.where(some, scene.expanded / np.where(some, intensity, 1), 1)


def transform(size: int, low: np.ndarray) -> np.ndarray:
    """One level of a circular orthonormal wavelet transform: approximations, then details; its inverse is turned."""
    high = low[::-1] * (-1) ** np.arange(len(low))
    whole = np.zeros((size, size))
    for k in range(size // 2):
        for place, (a, d) in enumerate(zip(low, high, strict=True)):
            whole[k, (2 * k + place) % size] += a
            whole[size // 2 + k, (2 * k + place) % size] += d
    return whole


def wavelet_fusion(scene: Scene, kind: str = "haar", rule: str = "replace") -> np.ndarray:
    """The details of the matched P in place of those of E ("replace"), or added to them ("add").

    A decimated transform whose first filter begins at the first pixel of the image; the images go on beyond their
    borders far enough that nothing of the circle's other end gets in.
    """
    low, step = WAVELETS[kind], 2**scene.levels
    margin = 2 * len(low) * step
    def merge(e, p, level):
        if level == 0:
            return e
        rows, columns = (transform(size, low) for size in e.shape)
        e, p = (rows @ image @ columns.T for image in (e, p))
        merged, inner = (e + p if rule == "add" else p), tuple(slice(size // 2) for size in e.shape)
        merged[inner] = merge(e[inner], p[inner], level - 1)
        return rows.T @ merged @ columns

    def fuse(k, e):
        beyond = [(margin, margin + -size % step) for size in e.shape]
        wide = [np.pad(image, beyond, scene.border) for image in (e, matched(scene, e, scene.pan))]
        return merge(*wide, scene.levels)[margin : margin + e.shape[0], margin : margin + e.shape[1]]

    return each(scene, fuse)


def pyramid(scene: Scene, k: int) -> np.ndarray:
    """P_L of a band: filtered with its gain, thinned to multispectral pixels, interpolated again."""
    return enlarge(scene.coarse_pan(scene.gain(k)), scene.ratio)


def mtf_glp(scene: Scene) -> np.ndarray:
    """E + P' - P'_L; P' matched to the band with the standard deviation of a Gaussian of gain 0.3, not thinned."""
    low = scene.lowpass()
    return each(scene, lambda k, e: e + gain(scene.std(e), scene.std(low)) * (scene.pan - pyramid(scene, k)))


def mtf_glp_hpm(scene: Scene, regression: bool = False) -> np.ndarray:
    """E P' / P'_L, the ratio at most 10; P' matched as in :func:`mtf_glp`, or by ``regression`` of E on P_L."""
    low = scene.lowpass()

    def fuse(k, e):
        own = pyramid(scene, k)
        slope = gain(scene.cov(own, e), scene.cov(own, own)) if regression else gain(scene.std(e), scene.std(low))
        middle = scene.mean(own) if regression else scene.mean(scene.pan)
        pan, under = (slope * (image - middle) + scene.mean(e) for image in (scene.pan, own))
        return e * np.clip(quotient(pan, under), 0, 10)

    return each(scene, fuse)


#: Share of the covariance over the scene by which the gain of a window is drawn to that of the scene.
TIE = 0.03


def mtf_glp_cbd(scene: Scene, window: int = 0, threshold: float = 0.0) -> np.ndarray:
    """E + cov(P_L, E) / var(P_L) (P - P_L); in a window around each pixel, 0 where the correlation is not above."""
    def fuse(k, e):
        low = pyramid(scene, k)
        whole, variance = gain(scene.cov(low, e), scene.cov(low, low)), scene.cov(low, low)
        if not window:
            return e + whole * (scene.pan - low)
        cov, of_low, of_e = (local_cov(scene, a, b, window) for a, b in ((low, e), (low, low), (e, e)))
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = cov / np.sqrt(of_low * of_e) > threshold
        own = np.where(kept, (cov + TIE * variance * whole) / (of_low + TIE * variance), 0)
        return e + np.maximum(own, 0) * (scene.pan - low)

    return each(scene, fuse)


def local_cov(scene: Scene, a: np.ndarray, b: np.ndarray, window: int) -> np.ndarray:
    return box(a * b, window, scene.border) - box(a, window, scene.border) * box(b, window, scene.border)


def mtf_glp_fs(scene: Scene, window: int = 0) -> np.ndarray:
    """E + cov(E, P) / cov(P_L, P) (P - P_L), over the scene or in a window around each pixel."""
    def fuse(k, e):
        low, pan = pyramid(scene, k), scene.pan
        whole, covariance = gain(scene.cov(e, pan), scene.cov(low, pan)), scene.cov(low, pan)
        if not window:
            return e + whole * (pan - low)
        cov, under = local_cov(scene, e, pan, window), local_cov(scene, low, pan, window) + TIE * covariance
        some = under > 0
        own = np.where(some, (cov + TIE * covariance * whole) / np.where(some, under, 1), 0)
        return e + np.maximum(own, 0) * (pan - low)

    return each(scene, fuse)


def rcs(scene: Scene, radius: int = 9) -> np.ndarray:
    """E P / P_L, Orfeo ToolBox's ratio component substitution."""
    return sfim(scene, 2 * radius + 1)


def lmvm(scene: Scene, radius: int = 3) -> np.ndarray:
    """Local mean and variance matching, (P - mean(P)) std(E) / std(P) + mean(E) in square windows."""
    def mean(image):
        return box(image, 2 * radius + 1, scene.border)

    def std(image):
        variance = mean(image**2) - mean(image) ** 2
        return np.sqrt(np.where(variance > 1e-12 * mean(image) ** 2, variance, 0))

    of_pan = std(scene.pan)
    some = of_pan > 0
    detail = np.where(some, (scene.pan - mean(scene.pan)) / np.where(some, of_pan, 1), 0)
    return each(scene, lambda k, e: detail * std(e) + mean(e))


def bayes_terms(scene: Scene):
    """Intercept and slopes of P on E, the residual variance, and the inverse of the covariance of E."""
    spectra = scene.columns(*scene.expanded)
    pan = scene.columns(scene.pan)[:, 0]
    n, bands = spectra.shape
    intercept, *slopes = np.linalg.lstsq(np.column_stack([np.ones(n), spectra]), pan)[0]
    left = pan - intercept - spectra @ slopes
    return intercept, np.array(slopes), (left**2).sum() / (n - bands - 1), np.linalg.inv(np.cov(spectra, rowvar=False))


def bayes_fusion(scene: Scene, weight: float = 0.9999) -> np.ndarray:
    """Orfeo ToolBox's Bayesian fusion with the residual variance of the regression."""
    intercept, slopes, variance, inverse = bayes_terms(scene)
    spread = np.linalg.inv(2 * weight / variance * np.outer(slopes, slopes) + 2 * (1 - weight) * inverse)
    expanded = np.moveaxis(scene.expanded, 0, -1)
    right = 2 * (1 - weight) * expanded @ inverse + 2 * weight / variance * (scene.pan - intercept)[..., None] * slopes
    return np.moveaxis(right @ spread, -1, 0)
