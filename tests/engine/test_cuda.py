"""The CUDA kernels on numba's simulator: the same results as the processor's on tiny scenes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from makers import FINE, quantised, read_raster, write_raster

RATIO = 4


def scene(folder: Path) -> dict[str, str]:
    """Two pairs and a target with gaps, the coarse images on a grid of their own."""
    rng = np.random.default_rng(5)
    images: dict[str, str] = {}
    for number, suffix in enumerate(("", "2")):
        fine = quantised(rng, 2, 12, 16) + np.float32(0.05 * number)
        fine[:, rng.random(fine.shape[1:]) < 0.05] = np.nan
        coarse = quantised(rng, 2, 12 // RATIO, 16 // RATIO)
        images[f"fine{suffix}"] = write_raster(folder / f"fine{suffix}.tif", fine)
        images[f"coarse{suffix}"] = write_raster(folder / f"coarse{suffix}.tif", coarse, FINE * Affine.scale(RATIO))
    target = quantised(rng, 2, 12 // RATIO, 16 // RATIO)
    return images | {"target": write_raster(folder / "target.tif", target, FINE * Affine.scale(RATIO))}


def fuse(
    folder: Path, method: str, images: dict[str, str], simulated: bool, options: dict[str, Any]
) -> tuple[np.ndarray, list[str]]:
    """The fused image and all that is counted; in a process of its own, as numba's simulator is chosen on import."""
    out = folder / f"{simulated}.tif"
    command = [sys.executable, "-m", "stfusion", "fuse", method, "--out", str(out), "--threads", "1", "--json"]
    for name, value in {**images, **options}.items():
        flag = f"--{name.replace('_', '-')}"
        command += [flag] if value is True else [flag, str(value)]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"} if simulated else os.environ
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ('"device": "cuda:0 simulated by numba"' in done.stdout) == simulated
    said = [json.loads(line).get("message", "") for line in done.stdout.splitlines()]
    return read_raster(out), sorted(text for text in said if " values (" in text)


@pytest.mark.parametrize(
    ("method", "pairs", "options"),
    [
        ("starfm", 1, {"window": 5, "classes": 4}),
        ("starfm", 2, {"window": 5, "classes": 2, "no_joint": True, "filter": "either", "no_logarithmic": True}),
        ("estarfm", 2, {"window": 5, "classes": 1, "conversion": "regression", "least_change": 0.2}),
        ("estarfm", 2, {"window": 7, "classes": 1, "conversion": "weighted", "block": 5}),
        ("estarfm", 2, {"window": 5, "classes": 1, "conversion": "weighted", "bias_correction": True}),
        ("estarfm", 2, {"window": 5, "classes": 1, "conversion": "one", "bias_correction": True}),
        ("fit_fc", 1, {"window": 5, "neighbours": 6}),
        ("vipstf", 2, {"window": 5, "neighbours": 6}),
        ("rasdf", 1, {}),
        ("fsdaf", 1, {"window": 5, "neighbours": 6, "classes": 2}),
        ("obsum", 1, {"window": 5, "neighbours": 6, "classes": 2}),
    ],
)
def test_equals_the_processor(tmp_path: Path, method: str, pairs: int, options: dict[str, Any]) -> None:
    images = {name: path for name, path in scene(tmp_path).items() if pairs == 2 or not name.endswith("2")}
    (card, counted), (processor, expected) = (
        fuse(tmp_path, method, images, simulated, options) for simulated in (True, False)
    )
    np.testing.assert_allclose(card, processor, rtol=1e-4, atol=1e-6)
    assert counted == expected
    assert np.isfinite(card).mean() > 0.5
