"""The programs that a package manager can install and that do what a method of ours does.

Each lives in an environment of its own under ``build/bench/peers``, never in the engine's. A peer that cannot be
installed or run is reported as absent, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import rasterio

import cases
from measure import ROOT, Cost, FailedError, program

FOLDER = ROOT / "build" / "bench" / "peers"
HERE = Path(__file__).resolve().parent

#: One thread, so that idle threads that wait actively do not count as work.
ALONE = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "GDAL_NUM_THREADS")}

#: Makes the command of a peer from its interpreter, the folder of a case, a scratch folder and the output.
Command = Callable[[Path, Path, Path, Path], list[object]]


@dataclass(frozen=True)
class Peer:
    """A program beside one of our methods.

    ``packages`` are installed by pip into an environment on top of the system's Python (whose GDAL they use);
    ``programs`` have to be on the path. ``size`` is the case that it can do in bearable time, ``options`` are ours that
    make both do the same.
    """

    name: str
    method: str
    command: Command
    size: int
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    options: tuple[object, ...] = ()
    pairs: int = 1
    remark: str = ""

    def install(self, python: str) -> Path:
        """Make the peer's environment with the system's interpreter ``python`` and return the environment's.

        Raises
        ------
        FailedError
            A package or a program is not to be had.
        """
        missing = [name for name in self.programs if shutil.which(name) is None]
        if missing:
            raise FailedError(f"{missing[0]} is not on the path; install it with the system's package manager")
        if not self.packages:
            return Path(python)
        folder = FOLDER / self.packages[0].partition("=")[0]
        interpreter = folder / "bin" / "python"
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _quietly(python, "-m", "venv", "--system-site-packages", folder)
            _quietly(interpreter, "-m", "pip", "install", "--quiet", *self.packages)
            (folder / "ready").touch()
        return interpreter

    def run(self, interpreter: Path, path: Path, output: Path) -> Cost:
        """Run the peer on a case.

        Raises
        ------
        FailedError
            It ended with an error or without a result.
        """
        scratch = output.with_name(f"{output.stem}.work")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        output.unlink(missing_ok=True)
        try:
            cost, _, _ = program(self.command(interpreter, path, scratch, output), plain_environment() | ALONE)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not output.exists():
            raise FailedError("it left no result")
        return cost


def plain_environment() -> dict[str, str]:
    """The environment without what leads to the engine's Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def _quietly(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError((done.stderr.strip() or f"'{command[0]}' failed").splitlines()[-1])


def _fuslib(method: str, window: int) -> Command:
    def command(interpreter: Path, path: Path, scratch: Path, output: Path) -> list[object]:
        return [interpreter, HERE / "peer_fuslib.py", method, window, cases.on_fine_grid(path), scratch, output]

    return command


def _sharpener(interpreter: Path, path: Path, scratch: Path, output: Path) -> list[object]:
    images = [path / f"{cases.ROLES[role]}.tif" for role in ("fine", "target")]
    return [interpreter, HERE / "peer_dms.py", *images, scratch, output]


def _gdal(script: str) -> Command:
    """A shell script on the images as ``$fine``, ``$coarse`` and ``$target``, and on the grid as ``$grid``."""

    def command(interpreter: Path, path: Path, scratch: Path, output: Path) -> list[object]:
        images = [f"{role}='{path / cases.ROLES[role]}.tif'" for role in ("fine", "coarse", "target")]
        with rasterio.open(path / f"{cases.ROLES['fine']}.tif") as fine:
            grid = f"grid='-te {' '.join(map(str, fine.bounds))} -ts {fine.width} {fine.height}'"
        return ["sh", "-e", "-c", "\n".join([*images, grid, f"work='{scratch}' output='{output}'", script])]

    return command


WARP = "gdalwarp -q -r cubic -ot Float32 -dstnodata -9999 $grid"


def _calc() -> str:
    """The command that adds the difference of two warped images to the fine one: a letter for every band of each."""
    letters = [ascii_uppercase[k * cases.BANDS : (k + 1) * cases.BANDS] for k in range(3)]
    words = [
        f"-{letter} {image} --{letter}_band={band}"
        for image, row in zip(("$fine", "$work/1.tif", "$work/2.tif"), letters, strict=True)
        for band, letter in enumerate(row, start=1)
    ]
    words += [f"--calc={fine}+{target}-{coarse}" for fine, coarse, target in zip(*letters, strict=True)]
    return f"gdal_calc.py --quiet {' '.join(words)} --type=Float32 --outfile=$output"


PEERS = (
    Peer(
        "fuslib2021 0.6 (Python, dask)", "starfm", _fuslib("starfm", 31), 160,
        ("fuslib2021==0.6", "zarr<3", "numpy<2"), options=("--window", 31),
        remark="one band a run; its window of 31",
    ),
    Peer(
        "fuslib2021 0.6 (Python, numpy)", "estarfm", _fuslib("estarfm", 51), 160,
        ("fuslib2021==0.6", "zarr<3", "numpy<2"), options=("--window", 51), pairs=2, remark="its window of 51",
    ),
    Peer(
        "python-dms 1.2.1 (scikit-learn)", "fit_fc", _sharpener, 500, ("python-dms==1.2.1", "numpy<2"),
        remark="data mining sharpener: regression trees of the coarse target image on the fine image",
    ),
    Peer(
        "gdalwarp (C++)", "upsampled_coarse", _gdal(f"{WARP} $target $output"), 2000, programs=("gdalwarp",),
        remark="cubic",
    ),
    Peer(
        "gdalwarp and gdal_calc (C++, numpy)", "fine_plus_difference",
        _gdal(f"{WARP} $coarse $work/1.tif\n{WARP} $target $work/2.tif\n{_calc()}"), 2000,
        programs=("gdalwarp", "gdal_calc.py"), remark="cubic",
    ),
)
