"""``make series``: fuse the time series of two real scenes, and write their figures into the tutorial.

Both have few fine and many coarse images. Every fine image is also left out and predicted from the others, by several
methods and by the baselines; the errors go into ``docs/tutorials/a-daily-series.md``, a picture and an animation of the
first scene into ``docs/images``. The series lie in ``build/series``.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from scenes import ROOT, data_folder, execute
from stfusion import registry
from stfusion.assessment._picture import Look, Panel, maps
from stfusion.errors import StfError, UserError

WORK = ROOT / "build" / "series"
PAGE = ROOT / "docs" / "tutorials" / "a-daily-series.md"
PICTURE, ANIMATION = (ROOT / "docs" / "images" / f"series_salton.{ending}" for ending in ("png", "gif"))
SALTON, WEST_HUBEI = "stf_salton_hls_viirs", "stf_westhubei_ndvi_2015"
METHODS = ("vipstf", "fsdaf", "fit_fc", "starfm")
BASELINES = ("fine_plus_difference", "copy_fine", "upsampled_coarse")
#: The dates of the picture, half of which no fine image saw.
SHOWN = ("20201009", "20201013", "20201022", "20201101", "20201106", "20201111")
#: Milliseconds of a date, screen pixels of a pixel, and greys, in the animation.
MILLISECONDS, PIXELS, GREYS = 200, 2, 32
MARKS = "<!-- {}, written by benchmarks/series.py -->", "<!-- end of {} -->"


def files(scene: str, pattern: str) -> list[str]:
    """Files of a scene.

    Raises
    ------
    UserError
        There are none.
    """
    found = sorted(map(str, (data_folder() / scene).glob(pattern)))
    if not found:
        raise UserError(f"'{data_folder() / scene}' has no {pattern}; let STF_DATA name the folder that holds it.")
    return found


def fused(name: str, **inputs: Any) -> dict[str, dict[str, float]]:
    """The means of the measures over the fine images that were left out, by method and baseline."""
    scores: dict[str, dict[str, float]] = {}
    for method in METHODS:
        print(f"{name}: {method}", flush=True)
        folder = WORK / f"{name} {method}"
        execute("fuse_series", method=method, check=True, output=folder, **inputs)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        dates = [each["methods"] for each in manifest["check"]["dates"]]
        for which in (method, *BASELINES):
            scores[which] = {
                measure: float(np.mean([each[which][measure] for each in dates])) for measure in ("rmse", "r", "ssim")
            }
    return scores


def salton() -> dict[str, dict[str, float]]:
    """Harmonized Landsat Sentinel at 70 m and VIIRS at 490 m, near infrared, every day of six weeks."""
    return fused("salton", fine=files(SALTON, "HLS*.tif"), coarse=files(SALTON, "VIIRS*.tif"))


def west_hubei() -> dict[str, dict[str, float]]:
    """NDVI of Landsat 8 at 30 m with masks of clouds, and of MODIS at 240 m, every 16 days of a year."""
    execute(
        "align", images=files(WEST_HUBEI, "MOD13*.tif"), reference=files(WEST_HUBEI, "L8_NDVI*.tif"),
        reference_masks=files(WEST_HUBEI, "L8_FMASK*.tif"), same_extent=True, shift="report", output=WORK / "coarse",
    )
    return fused(
        "west hubei", fine=files(WEST_HUBEI, "L8_NDVI*.tif"), fine_masks=files(WEST_HUBEI, "L8_FMASK*.tif"),
        fine_nodata=-9999, coarse=str(WORK / "coarse"), apart=8,
    )


def table(scores: dict[str, dict[str, float]], unit: float) -> str:
    """The methods by their error; ``unit`` is the stored value of 1."""
    lines = ["| Method | RMSE | r | SSIM |\n| --- | ---: | ---: | ---: |\n"]
    for method, each in sorted(scores.items(), key=lambda item: item[1]["rmse"]):
        title = registry.methods()[method].title
        lines.append(f"| {title} | {each['rmse'] / unit:.4f} | {each['r']:.3f} | {each['ssim']:.3f} |\n")
    return "".join(lines)


def read(path: Path) -> np.ndarray[Any, Any]:
    """An image, NaN where it has no data."""
    with rasterio.open(path) as source:
        image: np.ndarray[Any, Any] = source.read(masked=True).astype(float).filled(np.nan)
    return image


def pictures(series: Path) -> None:
    """A picture of some dates and an animation of all, with one stretch."""
    paths = sorted(series.glob("fused_*.tif"))
    images = {path.stem[-8:]: read(path) for path in paths}
    look = Look.of(list(images.values()), [np.zeros((1, 1, 1))], (1,), "")
    observed = {Path(path).stem[-8:] for path in files(SALTON, "HLS*.tif")}
    panels = [
        Panel(f"{day[:4]}-{day[4:6]}-{day[6:]} ({'observed' if day in observed else 'fused'})", images[day])
        for day in SHOWN
    ]
    PICTURE.write_bytes(maps(panels, look))
    frames = list(_frames(list(images.values()), look))
    frames[0].save(ANIMATION, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, optimize=True)


def _frames(images: Sequence[np.ndarray[Any, Any]], look: Look) -> Iterator[Image.Image]:
    for image in images:
        grey = np.where(np.isnan(image[0]), 1.0, look.colours(image)[..., 0])
        frame = Image.fromarray(np.uint8(np.rint(255 * grey)))
        yield frame.quantize(GREYS).resize((PIXELS * frame.width, PIXELS * frame.height), Image.Resampling.NEAREST)


def insert(name: str, text: str) -> None:
    """Put a table between its marks in the page."""
    begin, end = (mark.format(name) for mark in MARKS)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{begin}\n")
    after = rest.partition(f"{end}\n")[2]
    PAGE.write_text(f"{before}{begin}\n\n{text}\n{end}\n{after}", encoding="utf-8")


def main() -> int:
    """Fuse, measure, draw and write."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        insert("salton", table(salton(), 10_000))
        pictures(WORK / f"salton {METHODS[0]}")
        insert("west hubei", table(west_hubei(), 10_000))
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Wrote {PAGE}, {PICTURE} and {ANIMATION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
