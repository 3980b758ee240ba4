"""Fuse a scene with STARFM through QGIS, and judge the result against the true image and three simple baselines.

``demo.py --scene NAME --out FOLDER`` leaves in the folder: the fused image ``fused.tif``, the picture ``NAME.png`` and
the errors ``summary.json``. QGIS runs in a profile of its own in the folder ``profile``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from scenes import ROOT, SCENES, Files, Scene, prepare
from stfusion.assessment import _picture as picture
from stfusion.assessment._metrics import METRICS, Assessment, assess
from stfusion.assessment._picture import Panel
from stfusion.errors import EnvironmentFault, StfError
from stfusion.job import Input
from stfusion.raster.source import AlignedSource, Box, Source

PLUGIN = "stf_qgis_plugin"
TITLES = {
    "starfm": "STARFM",
    "copy": "Copy of the fine image",
    "upsampled_coarse": "Upsampled coarse image",
    "fine_plus_difference": "Fine + upsampled coarse difference",
}


class Reader:
    """Reads images as reflectance (bands, rows, cols) on the grid of the fine image."""

    def __init__(self, fine: Path, unit: float) -> None:
        self.grid = Source("Fine image", Input(str(fine))).grid
        self._unit = unit

    def read(self, path: Path, resampling: str = "cubic") -> np.ndarray:
        """The image, NaN where it has no data."""
        image = AlignedSource(Source("Image", Input(str(path))), self.grid, resampling)
        rows, cols = image.shape
        return image.read(Box(0, rows, 0, cols)).astype(np.float64) / self._unit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scene", choices=SCENES, default="simulated")
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="folder that receives everything")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters of stf:starfm")
    options = parser.parse_args()
    further = dict(text.split("=", 1) for text in options.set)
    # Images without a coordinate system are compared pixel by pixel here.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        demonstrate(options.scene, options.out.resolve(), further)
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def demonstrate(name: str, out: Path, further: dict[str, str]) -> dict[str, Any]:
    """Prepare, fuse, judge, draw; ``further`` are parameters of the method. Returns the summary."""
    scene, work = SCENES[name], out / name
    print(f"Scene: {scene.title}", flush=True)
    work.mkdir(parents=True, exist_ok=True)
    for old in (out / "fused.tif", out / "summary.json", out / f"{name}.png"):
        old.unlink(missing_ok=True)
    files = prepare(name, work)
    options = {"WINDOW": window(scene.ratio), **further}
    started = time.monotonic()
    fuse(files, options, work / "fused.tif", out)
    seconds = time.monotonic() - started
    shutil.copy2(work / "fused.tif", out / "fused.tif")
    reader = Reader(files.inputs["fine"], scene.unit)
    nearer = nearer_pair(files)
    images, truth = predictions(files, nearer, work / "fused.tif", reader), reader.read(files.truth)
    found = compare(images, truth)
    summary = {
        "scene": name, "title": scene.title, "pairs": len(scene.fine), "ratio": scene.ratio,
        "bands": truth.shape[0], "rows": truth.shape[1], "cols": truth.shape[2], "unit": "reflectance",
        "pair_of_baselines": str(day(files.inputs["fine" + nearer])), "target": str(day(files.inputs["target"])),
        "options": options, "seconds": round(seconds, 1), "valid": found["starfm"].valid,
        "methods": {method: {"title": TITLES[method], **each.as_dict()} for method, each in found.items()},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draw(out / f"{name}.png", scene, files, nearer, images["starfm"], truth, found["starfm"], reader)
    print(table(found))
    print(
        f"Reflectance; baselines from the pair of {summary['pair_of_baselines']}; {found['starfm'].valid:.1%} of "
        f"{truth.shape[1]} x {truth.shape[2]} pixels compared; QGIS and engine took {seconds:.1f} s."
    )
    print(f"{verdict(found)}\n")
    print(f"Fused image: {out / 'fused.tif'}\nPicture:     {out / f'{name}.png'}\nErrors:      {out / 'summary.json'}")
    return summary


def window(ratio: int) -> int:
    """Side of the moving window: three coarse pixels around the central fine pixel."""
    return 2 * math.ceil(1.5 * ratio) + 1


def day(path: Path) -> object:
    """Acquisition date of an image."""
    return Source("Image", Input(str(path))).date


def nearer_pair(files: Files) -> str:
    """Suffix of the pair that is nearer to the target date; the first where dates are equally far or unknown."""
    target = day(files.inputs["target"])
    distances = {
        role.removeprefix("fine"): abs((day(path) - target).days)
        for role, path in files.inputs.items() if role.startswith("fine")
    }
    return min(distances, key=distances.__getitem__)


def predictions(files: Files, nearer: str, fused: Path, reader: Reader) -> dict[str, np.ndarray]:
    """The result and the baselines, by method."""
    fine, coarse, target = (reader.read(files.inputs[role]) for role in ("fine" + nearer, "coarse" + nearer, "target"))
    images = (reader.read(fused), fine, target, fine + target - coarse)
    return dict(zip(TITLES, images, strict=True))


def compare(images: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, Assessment]:
    """Errors of all methods on the same pixels: those that are valid in all of them and in the truth."""
    valid = np.logical_and.reduce([np.isfinite(image).all(axis=0) for image in (*images.values(), truth)])
    return {method: assess(np.where(valid, image, np.nan), truth) for method, image in images.items()}


def fuse(files: Files, options: dict[str, Any], output: Path, out: Path) -> None:
    """Run STARFM through ``qgis_process`` in a private profile; its output goes to a log beside the result."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        raise EnvironmentFault("There is no qgis_process on the path; install QGIS 3.22 or newer.")
    given = {**{role.upper(): path for role, path in files.inputs.items()}, **options, "OUTPUT": output}
    command = [program, "run", "stf:starfm", "--", *(f"{name}={value}" for name, value in given.items())]
    log = output.with_suffix(".log")
    output.unlink(missing_ok=True)
    print(f"Running stf:starfm in {Path(program).name} ...", flush=True)
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            command, env=private_profile(out / "profile"), stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code != 0 or not output.is_file():
        print(log.read_text(encoding="utf-8"), file=sys.stderr)
        raise EnvironmentFault(f"qgis_process ended with code {code} and without a result; its output is in '{log}'.")


def private_profile(folder: Path) -> dict[str, str]:
    """Make a QGIS profile with the plugin enabled and the engine's interpreter set; the environment that selects it."""
    staged = ROOT / "build" / PLUGIN
    if not staged.is_dir():
        raise EnvironmentFault(f"The plugin has not been put together in '{staged}'; run: make build")
    profile, runtime = folder / "profiles" / "default", folder / "runtime"
    shutil.rmtree(profile / "python" / "plugins" / PLUGIN, ignore_errors=True)
    shutil.copytree(staged, profile / "python" / "plugins" / PLUGIN)
    settings = (
        f"[PythonPlugins]\n{PLUGIN}=true\n\n[Processing]\nConfiguration\\STF_ENGINE_PYTHON={sys.executable}\n"
        f"Configuration\\STF_ENGINE_FOLDER={folder / 'engine'}\n"
    )
    (profile / "QGIS").mkdir(exist_ok=True)
    # The file is named after the major version of QGIS.
    for name in ("QGIS3.ini", "QGIS4.ini"):
        (profile / "QGIS" / name).write_text(settings, encoding="utf-8")
    runtime.mkdir(mode=0o700, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return kept | {
        "QGIS_CUSTOM_CONFIG_PATH": str(folder), "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(runtime)
    }


def draw(
    path: Path, scene: Scene, files: Files, nearer: str, fused: np.ndarray, truth: np.ndarray, found: Assessment,
    reader: Reader,
) -> None:
    """The picture: both sensors on the first date, the coarse one on the second, prediction, truth and error."""
    panels = [
        Panel(f"{sensor.capitalize()} {day(files.inputs[role])}", reader.read(files.inputs[role], "nearest"))
        for sensor, role in (("fine", "fine" + nearer), ("coarse", "coarse" + nearer), ("coarse", "target"))
    ]
    target = day(files.inputs["target"])
    panels += [Panel(f"STARFM {target}", fused), Panel(f"Truth {target}", truth)]
    error = Panel(f"Absolute error of STARFM, RMSE {found.rmse.mean:.4f}", np.abs(fused - truth))
    picture.draw(path, panels, error, scene.shown, "Mean absolute error of the bands (reflectance)")


def table(found: dict[str, Assessment]) -> str:
    """The errors as text: means of the bands, then the root mean square error of every band."""
    count = len(found["starfm"].rmse.bands)
    heads = ["RMSE", "MAE", "r", "SSIM", *(f"RMSE {band}" for band in range(1, count + 1))]
    lines = [" " * 36 + "".join(f"{head:>9}" for head in heads)]
    for method, each in found.items():
        values = [*(getattr(each, name).mean for name in METRICS), *each.rmse.bands]
        lines.append(f"{TITLES[method]:<36}" + "".join(f"{value:9.4f}" for value in values))
    return "\n" + "\n".join(lines) + "\n"


def verdict(found: dict[str, Assessment]) -> str:
    """Which baselines have a smaller error than the method."""
    own = found["starfm"].rmse.mean
    better = [TITLES[method].lower() for method, each in found.items() if each.rmse.mean < own]
    return f"STARFM loses (RMSE) to: {', '.join(better)}." if better else "STARFM has the smallest error (RMSE) of all."


if __name__ == "__main__":
    sys.exit(main())
