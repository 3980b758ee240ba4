"""Scenes to sharpen as files, and runs of the engine on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from makers import FINE, read_raster, run_method, write_raster
from sharpening import Scene, set_b
from stfusion import registry

METHODS = sorted(m.id for m in registry.methods().values() if m.group == "Pansharpening")
EQUAL = {"weighting": "equal"}


def known() -> Scene:
    """The scene whose truth is known, in numbers that float32 holds."""
    scene = replace(set_b(), border="edge")
    return replace(scene, ms=scene.ms.astype(np.float32).astype(float))


def write_scene(folder: Path, scene: Scene, transform: Affine = FINE, **profile: Any) -> dict[str, str]:
    """Write the two images of a scene, in float32 unless their type says otherwise, whose corners are the same."""
    folder.mkdir(exist_ok=True)
    ms, pan = (image.astype(np.float32) if image.dtype == float else image for image in (scene.ms, scene.pan))
    return {
        "multispectral": write_raster(folder / "ms.tif", ms, transform @ Affine.scale(scene.ratio), **profile),
        "pan": write_raster(folder / "pan.tif", pan, transform, **profile),
    }


def sharpen(
    folder: Path, method: str, paths: dict[str, str], settings: dict[str, Any] | None = None, **options: Any
) -> tuple[np.ndarray, list[str]]:
    """Run a method, in real numbers unless told otherwise; the result, and what the run warned of."""
    output = folder / f"{method}.tif"
    options = {"output_type": "float32", **options}
    outcome = run_method(method, settings=settings, output=str(output), **paths, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(output), outcome.said.of("warning")


def refused(folder: Path, method: str, paths: dict[str, str], **options: Any) -> str:
    """The sentence with which a method refuses its images; nothing is written."""
    before = sorted(folder.iterdir())
    outcome = run_method(method, output=str(folder / "fused.tif"), **paths, **options)
    assert outcome.code == 2, outcome.said.lines
    assert sorted(folder.iterdir()) == before
    assert outcome.error.count(". ") == 0
    return outcome.error
