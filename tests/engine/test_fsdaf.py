"""FSDAF against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_fsdaf import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(folder: Path, images: dict[str, np.ndarray], ratio: int, **options: Any) -> Outcome:
    """Write the images by role, coarse ones on a grid that begins ``top`` and ``left`` fine pixels early, and run."""
    place = Affine.translation(options.pop("left", 0), options.pop("top", 0)) @ Affine.scale(ratio)
    paths = {}
    for name, values in images.items():
        transform = FINE @ place if name in ("coarse", "coarse2", "target") else FINE
        paths[name] = write_raster(folder / f"{name}.tif", values, transform)
    run_settings = options.pop("settings", {})
    options = {"unit": 1.0, **options}
    return run_method("fsdaf", settings=run_settings, output=str(folder / "fused.tif"), **paths, **options)


def fuse(folder: Path, images: dict[str, np.ndarray], ratio: int, **options: Any) -> np.ndarray:
    outcome = attempt(folder, images, ratio, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, bands: int = 2, ratio: int = 4, blocks: tuple[int, int] = (6, 7), count: int = 3, cut: int = 0
) -> dict[str, np.ndarray]:
    """Random classes in patches, of which some change alike, and something new in some coarse pixels.

    ``cut`` rows and columns are missing at the far edges, so that the last coarse pixels are partial.
    """
    rng = np.random.default_rng(seed)
    coarse_classes = rng.integers(0, count, blocks)
    classes = np.kron(coarse_classes, np.ones((ratio, ratio), int))
    mixed = rng.random(classes.shape) < 0.3
    classes[mixed] = rng.integers(0, count, int(mixed.sum()))
    spectra = quantised(rng, bands, count, high=0.3) + 0.1
    fine = spectra[:, classes] + (rng.integers(-30, 30, (bands, *classes.shape)) / 1024).astype(np.float32)
    coarse = fine.reshape(bands, blocks[0], ratio, blocks[1], ratio).mean((2, 4)).astype(np.float32)
    change = (rng.integers(-80, 80, (bands, count)) / 1024)[:, classes]
    target = coarse + change.reshape(bands, blocks[0], ratio, blocks[1], ratio).mean((2, 4))
    target += rng.integers(-20, 20, target.shape) / 1024
    rows, columns = classes.shape[0] - cut, classes.shape[1] - cut
    images = {"fine": fine[:, :rows, :columns], "coarse": coarse, "target": target.astype(np.float32)}
    return {**images, "class_map": classes[:rows, :columns].astype(np.uint8)}


def with_gaps(images: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """A few gaps in every image but the map; most coarse pixels stay complete."""
    rng = np.random.default_rng(seed)
    images = {name: values.copy() for name, values in images.items()}
    for name, values in images.items():
        if name != "class_map":
            values[:, rng.random(values.shape[1:]) < (0.02 if name.startswith("fine") else 0.08)] = np.nan
    return images


def judge(images: dict[str, np.ndarray], count: int, suffix: str = "", **options: Any) -> np.ndarray:
    fine, coarse = images[f"fine{suffix}"], images[f"coarse{suffix}"]
    return Literal(**options).predict(fine, coarse, images["target"], images["class_map"], count)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 3),
    ratio=st.integers(2, 5),
    count=st.integers(1, 3),
    cut=st.integers(0, 1),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "window": st.sampled_from([3, 7, 9]),
            "neighbours": st.sampled_from([1, 4, 20]),
            "pure": st.sampled_from([8, 100]),
            "trim": st.sampled_from([0.0, 0.1, 0.25]),
            "residual": st.sampled_from(["size", "signed"]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, ratio: int, count: int, cut: int, gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, ratio, count=count, cut=cut)
    if gaps:
        images = with_gaps(images, seed)
    expected = judge(images, count, ratio=ratio, **chosen)
    fused = fuse(tmp_path, images, ratio, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=2e-6)
