"""Makers of small rasters, and a run of the engine in this process that keeps what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from stfusion import job, registry
from stfusion.classification._model import Class
from stfusion.classification._paletted import table
from stfusion.protocol import Reporter
from stfusion.run import Stop, run

CRS = "EPSG:32633"
#: Grid of the fine images: 30 m.
FINE = Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 5_200_000.0)


def write_raster(
    path: Path, values: np.ndarray, transform: Affine = FINE, crs: str | None = CRS, **profile: Any
) -> str:
    """Write (bands, rows, columns) as GeoTIFF and return its path; scales, offsets, names and tags by keyword."""
    after = {key: profile.pop(key) for key in ("scales", "offsets", "descriptions", "tags") if key in profile}
    values = np.atleast_3d(values.T).T if values.ndim == 2 else values
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[1],
        width=values.shape[2],
        count=values.shape[0],
        dtype=values.dtype,
        transform=transform,
        crs=crs,
        **profile,
    ) as dataset:
        dataset.write(values)
        for key in after.keys() - {"tags"}:
            setattr(dataset, key, after[key])
        dataset.update_tags(**after.get("tags", {}))
    return str(path)


def read_raster(path: str | Path) -> np.ndarray:
    """The stored values (bands, rows, columns)."""
    with rasterio.open(path) as dataset:
        return dataset.read()


@dataclass
class Said(Reporter):
    """Keeps all that a run says."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def emit(self, kind: str, **fields: Any) -> None:
        self.lines.append((kind, fields))

    def of(self, kind: str) -> list[Any]:
        """The messages, values or outputs said of one kind."""
        key = {"progress": "value", "result": "outputs", "stage": "name"}.get(kind, "message")
        return [fields[key] for said, fields in self.lines if said == kind]


@dataclass
class Outcome:
    """Exit code of a run and what it said."""

    code: int
    said: Said

    @property
    def error(self) -> str:
        (message,) = self.said.of("error")
        return message


def run_method(
    method: str, /, stop: Stop | None = None, settings: dict[str, Any] | None = None, **values: Any
) -> Outcome:
    """Build the job from the values of the method's parameters and run it in this process."""
    said = Said()
    declaration = registry.methods()[method]
    unknown = values.keys() - {parameter.name for parameter in declaration.parameters()}
    if unknown:
        raise TypeError(f"unknown parameters: {unknown}")
    try:
        order = job.parse(job.build(declaration, values, **(settings or {})))
    except job.UserError as error:
        said.error(error.code, str(error))
        return Outcome(error.exit_code, said)
    return Outcome(run(order, said, stop), said)


def write_class_table(
    path: str | Path, classes: Sequence[Class], bands: Sequence[str] = (), area: float | None = None
) -> Path:
    """Write names and attributes of the classes of a raster beside it, and return where."""
    beside = Path(f"{path}.aux.xml")
    beside.write_text(table(classes, bands, area), encoding="utf-8")
    return beside


def quantised(rng: np.random.Generator, *shape: int, high: float = 0.5) -> np.ndarray:
    """Random reflectance in steps of 1/1024: differences are exact in float32, so no comparison hangs on rounding."""
    return (rng.integers(0, int(high * 1024), shape) / 1024).astype(np.float32)
