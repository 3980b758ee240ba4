"""The scenes of demo and results: which files they consist of, and what has to be made of these to fuse them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from stfusion import job, registry
from stfusion.errors import EnvironmentFault, UserError
from stfusion.protocol import Reporter
from stfusion.raster.dates import find_date
from stfusion.run import run

ROOT = Path(__file__).resolve().parent.parent


class _Faults(Reporter):
    """Keeps the error that a run reports."""

    def __init__(self) -> None:
        self.said = ""

    def emit(self, kind: str, **fields: Any) -> None:
        """Take notice."""
        if kind == "error":
            self.said = fields["message"]


def order(method: str, /, **values: Any) -> job.Job:
    """A job of a method, from the values of its parameters."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    return job.parse(job.build(registry.methods()[method], given))


def execute(method: str, /, **values: Any) -> None:
    """Run a method.

    Raises
    ------
    EnvironmentFault
        It fails.
    """
    faults = _Faults()
    if run(order(method, **values), faults) != 0:
        raise EnvironmentFault(f"{method} failed: {faults.said}")


@dataclass(frozen=True)
class Files:
    """A scene ready to be fused: the inputs by role, and the true fine image of the target date."""

    inputs: dict[str, Path]
    truth: Path


@dataclass(frozen=True)
class Scene:
    """A case with a known answer.

    ``fine`` has the fine images of the pairs and ``coarse`` the coarse images of the same dates; where a scene has no
    ``coarse``, coarse images are made by averaging ``ratio`` x ``ratio`` fine pixels. ``folder`` is the scene's folder
    among the data (empty for the simulated one). ``unit`` is the value of reflectance 1, after the scale and offset in
    the file's header; ``header`` has scale, offset and nodata value where the file's own header lacks them.
    ``crop`` is the first row, the first column and the side of the part that is used. ``shown`` are the bands of the
    picture.
    """

    title: str
    folder: str
    fine: tuple[str, ...]
    truth: str
    coarse: tuple[str, ...] = ()
    target: str = ""
    ratio: int = 16
    unit: float = 10_000.0
    header: dict[str, float] | None = None
    crop: tuple[int, int, int] | None = None
    shown: tuple[int, ...] = (1,)


SCENES = {
    "simulated": Scene(
        "Simulated fields, 30 m and 480 m", "", ("fine_1.tif",), "fine_2.tif", ("coarse_1.tif",), "coarse_2.tif",
        shown=(4, 3, 2),
    ),
    "salton": Scene(
        "Salton Sea farmland, HLS near-infrared 70 m and VIIRS 490 m", "stf_salton_hls_viirs",
        ("HLS70m_NIR_20201002.tif",), "HLS70m_NIR_20201110.tif",
        ("VIIRS490m_NIR_20201002.tif",), "VIIRS490m_NIR_20201110.tif", ratio=7,
    ),
    # ENVI files without a coordinate system, the coarse ones already on the fine grid; negative values are data.
    "boreas": Scene(
        "BOREAS boreal forest, Landsat 7 and MODIS, two pairs", "stf_boreas_2001_envi",
        ("tm20010524", "tm20010812"), "tm20010711", ("modis20010524", "modis20010812"), "modis20010711",
        shown=(3, 2, 1),
    ),
    # Top-of-atmosphere numbers whose scale stands in tags; 0 marks pixels that the fire overwhelmed.
    "corumba": Scene(
        "Corumba savanna fire, Landsat 8 and its averages", "stf_corumba_fire_2019",
        ("L8_TOA_20190809.tif",), "L8_TOA_20190825.tif",
        unit=1.0, header={"scale": 2e-5, "offset": -0.1, "nodata": 0}, shown=(6, 5, 4),
    ),
    "itoiz": Scene(
        "Itoiz reservoir and hills, Sentinel-2 and its averages", "stf_itoiz_s2_l8",
        ("S2_20181021.tif",), "S2_20181210.tif", crop=(264, 152, 480), shown=(2, 1, 1),
    ),
    "bouconne": Scene(
        "Bouconne forest and fields, ten bands of Sentinel-2 and their averages", "stf_bouconne_s2_10band",
        ("S2_L3A_20180708.tif",), "S2_L3A_20181015.tif", shown=(3, 2, 1),
    ),
    # Vegetation indices: NDVI and EVI, which turn green within weeks when the rain comes.
    "bahia": Scene(
        "Bahia farmland, NDVI and EVI of CBERS-4 and their averages", "stf_bahia_cbers4_64m",
        ("CBERS4_AWFI_20181016.tif",), "CBERS4_AWFI_20181203.tif", crop=(0, 0, 480), shown=(1, 2, 2),
    ),
}
#: The same places with another number of pairs, for methods that need two pairs and to compare those that do not.
SCENES |= {
    "simulated_two_pairs": replace(
        SCENES["simulated"], title="Simulated fields, two pairs", fine=("fine_1.tif", "fine_3.tif"),
        coarse=("coarse_1.tif", "coarse_3.tif"),
    ),
    "salton_two_pairs": replace(
        SCENES["salton"], title="Salton Sea farmland, two pairs",
        fine=("HLS70m_NIR_20201002.tif", "HLS70m_NIR_20201110.tif"), truth="HLS70m_NIR_20201022.tif",
        coarse=("VIIRS490m_NIR_20201002.tif", "VIIRS490m_NIR_20201110.tif"), target="VIIRS490m_NIR_20201022.tif",
    ),
    "boreas_one_pair": replace(
        SCENES["boreas"], title="BOREAS boreal forest, the pair of August", fine=("tm20010812",),
        coarse=("modis20010812",),
    ),
    "itoiz_two_pairs": replace(
        SCENES["itoiz"], title="Itoiz reservoir and hills, two pairs", fine=("S2_20181021.tif", "S2_20181230.tif"),
    ),
    "bouconne_two_pairs": replace(
        SCENES["bouconne"], title="Bouconne forest and fields, two pairs",
        fine=("S2_L3A_20180708.tif", "S2_L3A_20181115.tif"),
    ),
    "bahia_two_pairs": replace(
        SCENES["bahia"], title="Bahia farmland, two pairs",
        fine=("CBERS4_AWFI_20181016.tif", "CBERS4_AWFI_20181219.tif"),
    ),
}


def data_folder() -> Path:
    """Where the real scenes are: the folder named by STF_DATA, else ``shared/data`` beside the repository."""
    return Path(os.environ.get("STF_DATA") or ROOT.parent / "shared" / "data").resolve()


def prepare(name: str, work: Path) -> Files:
    """The files of a scene, ready to be fused; what has to be made is made in the folder ``work``.

    Raises
    ------
    UserError
        The scene's data are not there; the sentence says where they must be.
    """
    scene = SCENES[name]
    folder = _simulated(work / "scene") if not scene.folder else data_folder() / scene.folder
    given = [folder / file for file in (*scene.fine, scene.truth, *scene.coarse, scene.target) if file]
    missing = [path for path in given if not path.is_file()]
    if missing:
        raise UserError(
            f"The scene '{name}' needs {missing[0].name} in the folder '{folder}', which is not there; let STF_DATA "
            f"name the folder that holds '{scene.folder}', or take the simulated scene."
        )
    if scene.coarse:
        pairs = [(folder / fine, folder / coarse) for fine, coarse in zip(scene.fine, scene.coarse, strict=True)]
        truth, target = folder / scene.truth, folder / scene.target
    else:
        pairs = [_degrade(folder / fine, scene, work) for fine in scene.fine]
        truth, target = _degrade(folder / scene.truth, scene, work)
    inputs = {"target": target}
    for suffix, (fine, coarse) in zip(("", "2"), pairs, strict=False):
        inputs |= {f"fine{suffix}": fine, f"coarse{suffix}": coarse}
    return Files(inputs, truth)


def _simulated(folder: Path) -> Path:
    """Simulate the default scene."""
    shutil.rmtree(folder, ignore_errors=True)
    execute("simulate", output=folder)
    return folder


def _degrade(path: Path, scene: Scene, work: Path) -> tuple[Path, Path]:
    """The used part of a fine image with a complete header, and the averages of its blocks: both written as GeoTIFF."""
    header = scene.header or {}
    with rasterio.open(path) as source:
        window = Window(scene.crop[1], scene.crop[0], scene.crop[2], scene.crop[2]) if scene.crop else None
        values = source.read(window=window)
        transform = source.window_transform(window) if window else source.transform
        date = find_date(path.name, source.tags())
        about = {"crs": source.crs, "nodata": header.get("nodata", source.nodata), "names": source.descriptions}
    about |= {"scale": header.get("scale", 1.0), "offset": header.get("offset", 0.0)}
    about |= {"date": date.strftime("%Y:%m:%d")}
    fine = write(work / f"fine_{date}.tif", values, transform, about)
    means = block_means(np.where(values == about["nodata"], np.nan, values.astype(np.float64)), scene.ratio)
    if about["nodata"] is not None:
        means = np.where(np.isnan(means), about["nodata"], means)
    larger = transform * transform.scale(scene.ratio)
    coarse = write(work / f"coarse_{date}.tif", np.rint(means).astype(values.dtype), larger, about)
    return fine, coarse


def block_means(values: np.ndarray, ratio: int) -> np.ndarray:
    """Means of the valid pixels in blocks (bands, rows / ratio, cols / ratio), rounded up: the last may be partial."""
    bands, rows, cols = values.shape
    padded = np.pad(values, ((0, 0), (0, -rows % ratio), (0, -cols % ratio)), constant_values=np.nan)
    blocks = padded.reshape(bands, -(-rows // ratio), ratio, -(-cols // ratio), ratio)
    valid = np.isfinite(blocks)
    count = valid.sum((2, 4))
    sums = np.where(valid, blocks, 0).sum((2, 4))
    return np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)


def write(path: Path, values: np.ndarray, transform: Any, about: dict[str, Any]) -> Path:
    bands, rows, cols = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=cols, height=rows, count=bands, dtype=values.dtype, crs=about["crs"],
        transform=transform, nodata=about["nodata"], tiled=True, compress="deflate",
    ) as sink:
        sink.write(values)
        sink.scales, sink.offsets = (about["scale"],) * bands, (about["offset"],) * bands
        sink.descriptions = about["names"]
        sink.update_tags(TIFFTAG_DATETIME=f"{about['date']} 00:00:00")
    return path
