"""``make sharpened``: pansharpen a real scene by every classic method, and write ``docs/pansharpening-results.md``.

The scene is reduced by Wald's protocol at its own ratio, so that the original multispectral image is the truth. Reports
lie in ``build/sharpened``.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from scenes import ROOT, data_folder
from stfusion import job, registry
from stfusion.errors import EnvironmentFault, StfError
from stfusion.pansharpening._opening import open_scene
from stfusion.protocol import Reporter, SilentReporter
from stfusion.raster.source import Box
from stfusion.run import CPU_SECONDS, Context, run

PAGE = ROOT / "docs" / "pansharpening-results.md"
WORK = ROOT / "build" / "sharpened"
SCENE = "pansharp_momotombo_l8"
RATIO, SENSOR = 2, "Landsat 8"
#: Bands that the panchromatic one sees: blue, green, red.
SEEN = [1, 2, 3]
#: How the stored numbers become reflectance, which the file's tags say and its header does not.
SCALE, OFFSET = 2e-5, -0.1
BICUBIC = "expanded"

HEAD = """# Results of pansharpening

Made by `make sharpened`, which anyone can run who has the data: a Landsat 8 scene of the volcano Momotombo (468 x 334
pixels of 30 m in six bands, panchromatic pixels of 15 m, some cloud), in reflectance. Both images are reduced by
[Wald's protocol](methods/wald_protocol.md) at the scene's own ratio of 2 and sharpened by every method with its
defaults, the sensor given where there is a choice; the original image is the truth. "Against bicubic" is by how much
the ERGAS differs from that of the image that is only interpolated. The panchromatic band sees green, red and a little
of blue; it says little of near and short-wave infrared, and the last column has the first three bands alone. The
smallest ERGAS are bold.

"""


class _Cost(Reporter):
    """Keeps the processor seconds that a run reports, and its error."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.error_said = ""

    def emit(self, kind: str, **fields: Any) -> None:
        """Take notice."""
        if kind == "metric" and fields["name"] == CPU_SECONDS:
            self.seconds = fields["value"]
        elif kind == "error":
            self.error_said = fields["message"]


def _run(method: str, **values: Any) -> None:
    said = _Cost()
    if run(_order(method, **values), said) != 0:
        raise EnvironmentFault(f"{method} failed: {said.error_said}")


def _order(method: str, **values: Any) -> job.Job:
    return job.parse(job.build(registry.methods()[method], {key: str(v) if isinstance(v, Path) else v
                                                            for key, v in values.items()}))


def _prepare(folder: Path) -> dict[str, Path]:
    """The reduced images and the truth, in reflectance."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in ("L8_TOA_20151205", "L8_TOA_20151205_pan"):
        with rasterio.open(folder / f"{name}.tif") as source:
            image, profile, names = source.read(), source.profile, source.descriptions
        with rasterio.open(WORK / f"{name}.tif", "w", **profile) as target:
            target.write(image)
            target.scales, target.offsets = [SCALE] * len(image), [OFFSET] * len(image)
            target.descriptions = names
    truth, pan = WORK / "L8_TOA_20151205.tif", WORK / "L8_TOA_20151205_pan.tif"
    reduced = {"multispectral": WORK / "ms.tif", "pan": WORK / "pan.tif"}
    _run(
        "wald_protocol", multispectral=truth, pan=pan, sensor=SENSOR, output=reduced["multispectral"],
        reduced_pan=reduced["pan"],
    )
    return {"truth": truth, **reduced}


def _expand(images: dict[str, Path], output: Path) -> None:
    """What is to be beaten: the multispectral image interpolated as the methods do it."""
    given = {role: images[role] for role in ("multispectral", "pan")}
    scene = open_scene(Context(_order("simple_mean", output=output, **given), SilentReporter()), 2**26)
    rows, columns = scene.shape
    with rasterio.open(
        output, "w", driver="GTiff", height=rows, width=columns, count=scene.bands, dtype="float32",
        crs=scene.grid.crs, transform=scene.grid.affine,
    ) as sink:
        sink.write(scene.read(Box(0, rows, 0, columns)).expanded)


def _scores(predicted: Path, truth: Path, bands: list[int] | None = None) -> dict[str, float]:
    report = predicted.with_name(f"{predicted.stem} {len(bands or ())}")
    _run("assess_fusion", predicted=predicted, reference=truth, ratio=RATIO, output=report,
         **({"fused_bands": bands, "reference_bands": bands} if bands else {}))
    whole = json.loads((report / "results.json").read_text(encoding="utf-8"))["whole"]
    return {name: float(whole[name]["mean"]) for name in ("ergas", "sam", "q2n", "scc") if name in whole}


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """The scores of every method, by title."""
    images = _prepare(folder)
    expanded = WORK / f"{BICUBIC}.tif"
    _expand(images, expanded)
    outputs = {"Bicubic interpolation": expanded}
    for method in registry.methods().values():
        if method.group != "Pansharpening":
            continue
        print(method.title, flush=True)
        path = WORK / f"{method.id}.tif"
        sensor = {"sensor": SENSOR} if any(option.id == "sensor" for option in method.options) else {}
        _run(method.id, multispectral=images["multispectral"], pan=images["pan"], output=path, **sensor)
        outputs[method.title] = path
    return {
        title: _scores(path, images["truth"]) | {"seen": _scores(path, images["truth"], SEEN)["ergas"]}
        for title, path in outputs.items()
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """Methods by their ERGAS."""
    heads = ("Method", "ERGAS", "Against bicubic", "SAM, degrees", "Q2n", "SCC", "ERGAS, first three bands")
    lines = [heads, ("---", *("---:" for _ in heads[1:]))]
    bicubic = found["Bicubic interpolation"]["ergas"]
    best = {name: min(scores[name] for scores in found.values()) for name in ("ergas", "seen")}
    for title, scores in sorted(found.items(), key=lambda item: item[1]["ergas"]):
        ergas, seen = (
            f"**{scores[name]:.3f}**" if scores[name] == best[name] else f"{scores[name]:.3f}"
            for name in ("ergas", "seen")
        )
        lines.append((
            title, ergas, f"{scores['ergas'] / bicubic - 1:+.1%}", f"{scores['sam']:.3f}", f"{scores['q2n']:.4f}",
            f"{scores['scc']:.4f}", seen,
        ))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Sharpen, measure and write."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    folder = data_folder() / SCENE
    if not folder.is_dir():
        print(f"Error: the scene is not in {folder} (set STF_DATA)", file=sys.stderr)
        return 2
    try:
        text = HEAD + table(measure(folder))
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    PAGE.write_text(text, encoding="utf-8")
    print(f"\n{text}\nWrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
