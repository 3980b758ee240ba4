"""Fuse a scene with STARFM through QGIS, and judge the result against the true image and three simple baselines.

``demo.py --scene NAME --out FOLDER`` leaves in the folder: the fused image ``fused.tif``, the picture ``NAME.png``, the
report ``report.html`` and its numbers ``summary.json``. QGIS runs ``stf:compare`` in a profile of its own in the folder
``profile``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning

from scenes import ROOT, SCENES, Files, Scene, prepare
from stfusion import registry
from stfusion.assessment import _picture as picture
from stfusion.assessment._metrics import METRICS
from stfusion.assessment._picture import Panel
from stfusion.assessment._plan import nearer_pair
from stfusion.assessment._report import verdict
from stfusion.errors import EnvironmentFault, StfError
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source

PLUGIN = "stf_qgis_plugin"
METHOD = "starfm"
SHOWN = ("rmse", "mae", "r", "ssim")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scene", choices=SCENES, default="simulated")
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="folder that receives everything")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further options of STARFM")
    options = parser.parse_args()
    # Images without a coordinate system are compared pixel by pixel here.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        demonstrate(options.scene, options.out.resolve(), options.set)
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def demonstrate(name: str, out: Path, further: list[str]) -> None:
    """Prepare, fuse and judge, draw; ``further`` are options of the method."""
    scene, work = SCENES[name], out / name
    print(f"Scene: {scene.title}", flush=True)
    work.mkdir(parents=True, exist_ok=True)
    for old in ("fused.tif", "summary.json", "report.html", f"{name}.png"):
        (out / old).unlink(missing_ok=True)
    files = prepare(name, work)
    settings = ",".join(f"{METHOD}.{setting}" for setting in further)
    report = work / "report"
    started = time.monotonic()
    compare(files, {"OPTIONS": settings, "RATIO": scene.ratio, "UNIT": scene.unit}, report, out)
    seconds = time.monotonic() - started
    shutil.copy2(report / "fused" / f"{METHOD}.tif", out / "fused.tif")
    shutil.copy2(report / "report.html", out / "report.html")
    shutil.copy2(report / "results.json", out / "summary.json")
    summary = json.loads((report / "results.json").read_text(encoding="utf-8"))
    draw(out / f"{name}.png", scene, files, out / "fused.tif", summary["methods"][METHOD])
    print(table(summary))
    pixels = "{1} x {0}".format(*summary["shape"])
    print(f"Reflectance; {summary['valid']:.1%} of {pixels} pixels compared; QGIS and engine took {seconds:.1f} s.")
    print(f"{verdict(summary)}\n")
    for what, file in (("Fused image", "fused.tif"), ("Picture", f"{name}.png"), ("Report", "report.html"),
                       ("Numbers", "summary.json")):
        print(f"{what + ':':<13}{out / file}")


def opened(path: Path) -> Source:
    """An image."""
    return Source("Image", Input(str(path)))


def day(path: Path) -> date | None:
    """Acquisition date of an image."""
    return opened(path).date


def read(path: Path, grid: GeoBox, unit: float) -> np.ndarray:
    """An image as reflectance (bands, rows, cols) on a grid, NaN where it has no data."""
    image = AlignedSource(opened(path), grid, "nearest")
    rows, cols = image.shape
    return image.read(Box(0, rows, 0, cols)).astype(np.float64) / unit


def compare(files: Files, options: dict[str, Any], output: Path, out: Path) -> None:
    """Compare STARFM and the baselines through ``qgis_process`` in a private profile; its output goes to a log."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        raise EnvironmentFault("There is no qgis_process on the path; install QGIS 3.22 or newer.")
    fusing = [method for method in registry.methods().values() if method.operation == "fuse"]
    methods = [METHOD, *(method.id for method in fusing if "baseline" in method.tags)]
    images = {role.upper(): path for role, path in (*files.inputs.items(), ("reference", files.truth))}
    given = {**images, "METHODS": ",".join(methods), **options, "KEEP": "true", "OUTPUT": output}
    command = [program, "run", "stf:compare", "--", *(f"{name}={value}" for name, value in given.items())]
    log = output.with_suffix(".log")
    shutil.rmtree(output, ignore_errors=True)
    print(f"Running stf:compare in {Path(program).name} ...", flush=True)
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            command, env=private_profile(out / "profile"), stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code != 0 or not (output / "fused" / f"{METHOD}.tif").is_file():
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


def draw(path: Path, scene: Scene, files: Files, fused: Path, scores: dict[str, Any]) -> None:
    """The picture: both sensors on the first date, the coarse one on the second, prediction, truth and error."""
    grid = opened(files.inputs["fine"]).grid
    pairs = [role.removeprefix("fine") for role in files.inputs if role.startswith("fine")]
    target = day(files.inputs["target"])
    nearer = pairs[nearer_pair(target, [day(files.inputs["fine" + pair]) for pair in pairs])]
    panels = [
        Panel(f"{sensor.capitalize()} {day(files.inputs[role])}", read(files.inputs[role], grid, scene.unit))
        for sensor, role in (("fine", "fine" + nearer), ("coarse", "coarse" + nearer), ("coarse", "target"))
    ]
    truth, prediction = (read(image, grid, scene.unit) for image in (files.truth, fused))
    panels += [Panel(f"{scores['title']} {target}", prediction), Panel(f"Truth {target}", truth)]
    error = Panel(f"Absolute error of {scores['title']}, RMSE {scores['rmse']['mean']:.4f}", np.abs(prediction - truth))
    picture.draw(path, panels, error, scene.shown, "Mean absolute error of the bands (reflectance)")


def table(summary: dict[str, Any]) -> str:
    """The errors as text: means of the bands, then the root mean square error of every band."""
    heads = [*(METRICS[name].title for name in SHOWN), *(f"RMSE {band}" for band, _ in enumerate(summary["bands"], 1))]
    lines = [" " * 36 + "".join(f"{head:>9}" for head in heads)]
    for each in summary["methods"].values():
        values = [*(each[name]["mean"] for name in SHOWN), *each["rmse"]["bands"]]
        lines.append(f"{each['title']:<36}" + "".join(f"{value:9.4f}" for value in values))
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
