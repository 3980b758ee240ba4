"""The cases of the benchmarks: simulated scenes with a known answer, the same for the same seed on every machine.

``cases.py --sizes 500 1000 2000 4000 --seed 42 --out FOLDER`` makes them. A case has six bands, a fine and a coarse
sensor 16 times as large, and three dates, the middle one of which is to be predicted from one pair or from two.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import rasterio

from measure import ROOT, engine
from stfusion.declaration import Method

SIZES = (500, 1000, 2000, 4000)
SEED = 42
RATIO = 16
BANDS = 6
DN_PER_REFLECTANCE = 10_000.0
FOLDER = ROOT / "build" / "bench" / "cases"

#: The image of every role of a method, and the true one.
ROLES = {"fine": "fine_1", "coarse": "coarse_1", "fine2": "fine_3", "coarse2": "coarse_3", "target": "coarse_2"}
TRUTH = "fine_2.tif"


def case(size: int, folder: Path = FOLDER, seed: int = SEED) -> Path:
    """The folder of a case, made when it is not there yet."""
    path = folder / f"{size}_seed{seed}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        engine("simulate", "--size", size, "--ratio", RATIO, "--bands", BANDS, "--no-clouds", "--seed", seed,
               "--out", path)
    return path


def inputs(method: Method, path: Path, pairs: int = 1) -> list[object]:
    """The flags that give a method the images of a case: the roles that it needs, and with two pairs all of them."""
    flags: list[object] = []
    for role in method.roles:
        if role.id in ROLES and (role.required or pairs == 2):
            flags += [f"--{role.id}", path / f"{ROLES[role.id]}.tif"]
    return flags


def on_fine_grid(path: Path) -> Path:
    """The images of a case as many programs want them: floats on one grid, coarse pixels replicated; made once."""
    target = path / "on_fine_grid"
    if target.exists():
        return target
    part = path / "on_fine_grid.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in ROLES.values():
        with rasterio.open(path / "fine_1.tif") as fine, rasterio.open(path / f"{name}.tif") as image:
            values = image.read().astype(np.float32)
            if image.shape != fine.shape:
                values = values.repeat(RATIO, 1).repeat(RATIO, 2)[:, : fine.height, : fine.width]
            profile = {**fine.profile, "dtype": "float32", "nodata": None, "predictor": 1}
        with rasterio.open(part / f"{name}.tif", "w", **profile) as sink:
            sink.write(values)
    part.rename(target)
    return target


def error(predicted: Path, path: Path) -> float:
    """Root mean square error of a predicted image of a case in reflectance, mean of the bands."""
    with rasterio.open(predicted) as guess, rasterio.open(path / TRUTH) as truth:
        errors = [
            np.sqrt(np.mean((guess.read(band).astype(np.float64) - truth.read(band)) ** 2))
            for band in range(1, truth.count + 1)
        ]
    return float(np.mean(errors)) / DN_PER_REFLECTANCE


def main() -> None:
    """Make the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sides in fine pixels")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    for size in options.sizes:
        print(case(size, options.out, options.seed))


if __name__ == "__main__":
    main()
