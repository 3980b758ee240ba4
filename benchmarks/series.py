"""``make series``: fuse the time series of two real scenes and a simulated one, and write their tutorial's figures.

All have few fine and many coarse images. Every fine image of the real ones is also left out and predicted from the
others, by several methods and by the baselines; the simulated year is compared with its truth. Errors go into
``docs/tutorials/a-daily-series.md``; pictures, animations and a chart into ``docs/images``, but for those of the scene
whose images may not be passed on: they lie with the series, in ``build/series``.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

import cloudy_year
import index_orders
from scenes import ROOT, data_folder, execute
from series_pictures import Course, Images, animate, chart, day_of, look_of, picture, read
from stfusion import registry
from stfusion.errors import StfError, UserError

WORK = ROOT / "build" / "series"
PAGE = ROOT / "docs" / "tutorials" / "a-daily-series.md"
PREPARED = ROOT / "docs" / "methods" / "prepare_and_fuse.md"
SHIPPED = ROOT / "docs" / "images"
SALTON, WEST_HUBEI, BOUCONNE = "stf_salton_hls_viirs", "stf_westhubei_ndvi_2015", "stf_bouconne_s2_10band"
METHODS = ("vipstf", "fsdaf", "fit_fc", "starfm")
#: The method of the year that is shown.
YEAR_METHOD = "fsdaf"
BASELINES = ("fine_plus_difference", "copy_fine", "upsampled_coarse")
#: The dates of the pictures; half of the first no fine image saw, and the last are a cloudy one and one without any.
SALTON_SHOWN = ("2020-10-09", "2020-10-13", "2020-10-22", "2020-11-01", "2020-11-06", "2020-11-11")
WEST_HUBEI_SHOWN = ("2015-02-18", "2015-04-23", "2015-06-10", "2015-08-13", "2015-10-16", "2015-12-19")
YEAR_SHOWN = (cloudy_year.DATES[12], cloudy_year.DATES[18])
UNIT = 10_000.0
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


def salton() -> None:
    """Harmonized Landsat Sentinel at 70 m and VIIRS at 490 m, near infrared, every day of six weeks."""
    fine = files(SALTON, "HLS*.tif")
    insert("salton", table(fused("salton", fine=fine, coarse=files(SALTON, "VIIRS*.tif"))))
    observed = {day_of(path) for path in fine}
    show(SHIPPED / "series_salton", series_of("salton vipstf"), SALTON_SHOWN, observed, 2)


def west_hubei() -> None:
    """NDVI of Landsat 8 at 30 m with masks of clouds, and of MODIS at 240 m, every 16 days of a year."""
    execute(
        "align", images=files(WEST_HUBEI, "MOD13*.tif"), reference=files(WEST_HUBEI, "L8_NDVI*.tif"),
        reference_masks=files(WEST_HUBEI, "L8_FMASK*.tif"), same_extent=True, shift="report", output=WORK / "coarse",
    )
    fine = files(WEST_HUBEI, "L8_NDVI*.tif")
    scores = fused(
        "west hubei", fine=fine, fine_masks=files(WEST_HUBEI, "L8_FMASK*.tif"), fine_nodata=-9999,
        coarse=str(WORK / "coarse"), apart=8,
    )
    insert("west hubei", table(scores))
    series = series_of("west hubei vipstf")
    # These images may not be passed on; only what is counted of them goes into the documentation.
    show(WORK / "west_hubei", series, WEST_HUBEI_SHOWN, set(), 1)
    masks = {day_of(path): path for path in files(WEST_HUBEI, "L8_FMASK*.tif")}
    observed = {day_of(path): read(path, masks.get(day_of(path)), -9999) for path in fine}
    chart(SHIPPED / "series_west_hubei.png", course("west hubei vipstf", observed, images_of(WORK / "coarse"), series))


def year() -> None:
    """A simulated year: NDVI at 30 m with clouds and masks, and at 240 m every 16 days."""
    folder = WORK / "year"
    cloudy_year.simulate(folder)
    fine = {"fine": str(folder / "fine"), "fine_masks": str(folder / "masks")}
    truth, scores = images_of(folder / "truth"), {}
    for method in (*METHODS, *BASELINES):
        print(f"year: {method}", flush=True)
        name = f"year {method}"
        execute("fuse_series", method=method, output=WORK / name, coarse=str(folder / "coarse"), **fine)
        scores[method] = against(truth, name)
    series = WORK / f"year {YEAR_METHOD}"
    execute("fill_gaps", fused=str(series), mask=True, output=WORK / "year filled", **fine)
    masked = {day_of(path): read(path)[0] > 0 for path in (folder / "masks").glob("*.tif")}
    errors = []
    for images in (images_of(series), images_of(WORK / "year filled")):
        wrong = np.concatenate([(images[day] - truth[day])[0, hidden] for day, hidden in masked.items()])
        errors.append(float(np.sqrt(np.mean(wrong**2))) / UNIT)
    words = "Under the clouds the RMSE is {:.4f} as fused and {:.4f} with the seams corrected.\n"
    insert("year", f"{table(scores)}\n{words.format(*errors)}")
    show_year(folder, truth, images_of(series), images_of(WORK / "year filled"))


def against(truth: Images, name: str) -> dict[str, float]:
    """How near the fused dates of a series come to the truth."""
    dates = json.loads((WORK / name / "manifest.json").read_text(encoding="utf-8"))["dates"]
    days = [date.fromisoformat(each["date"]) for each in dates if each["state"] == "fused"]
    series = series_of(name)
    found, facts = (np.stack([images[day] for day in days]) for images in (series, truth))
    valid = np.isfinite(found)
    return {
        "rmse": float(np.sqrt(np.mean((found - facts)[valid] ** 2))),
        "r": float(np.corrcoef(found[valid], facts[valid])[0, 1]),
    }


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The methods by their error."""
    measures = list(next(iter(scores.values())))
    titles = {"rmse": "RMSE", "r": "r", "ssim": "SSIM"}
    lines = ["| ".join(["", "Method ", *(f"{titles[each]} " for each in measures)]) + "|\n"]
    lines.append("| --- " + "| ---: " * len(measures) + "|\n")
    for method, each in sorted(scores.items(), key=lambda item: item[1]["rmse"]):
        numbers = [f"{each[name] / UNIT:.4f}" if name == "rmse" else f"{each[name]:.3f}" for name in measures]
        lines.append(f"| {' | '.join([registry.methods()[method].title, *numbers])} |\n")
    return "".join(lines)


def images_of(folder: Path) -> dict[date, np.ndarray[Any, Any]]:
    """The dated images of a folder."""
    return {day_of(path): read(path) for path in sorted(folder.glob("*_????????.tif"))}


def series_of(name: str) -> dict[date, np.ndarray[Any, Any]]:
    """The images of a series by their dates."""
    return images_of(WORK / name)


def show(stem: Path, series: Images, shown: Iterable[str], observed: set[date], enlarged: int) -> None:
    """A picture of some dates and an animation of all."""
    look = look_of(series)
    panels = []
    for day in map(date.fromisoformat, shown):
        panels.append((f"{day} ({'observed' if day in observed else 'fused'})", series[day]))
    picture(stem.with_suffix(".png"), panels, look)
    animate(stem.with_suffix(".gif"), {"": series}, list(series), look, enlarged)


def show_year(folder: Path, truth: Images, series: Images, filled: Images) -> None:
    """The simulated year: what was seen, what is made of it, and what is true."""
    coarse = images_of(folder / "coarse")
    fine = {
        day_of(path): read(path, folder / "masks" / f"masks_{path.stem[-8:]}.tif")
        for path in sorted((folder / "fine").glob("*.tif"))
    }
    look = look_of(truth)
    cloudy, coarse_only = YEAR_SHOWN
    panels = [
        (f"{cloudy}: fine, clouds masked", fine[cloudy]), ("its gaps filled", filled[cloudy]),
        ("true", truth[cloudy]), (f"{coarse_only}: coarse", coarse[coarse_only]),
        ("fused", series[coarse_only]), ("true", truth[coarse_only]),
    ]
    picture(SHIPPED / "series_clouds.png", panels, look)
    columns = {"coarse": coarse, "fine": fine, "series": {**series, **filled}}
    animate(SHIPPED / "series_clouds.gif", columns, cloudy_year.DATES, look, 1)


def course(name: str, fine: Images, coarse: Images, series: Images) -> Course:
    """The course of a series over time."""
    manifest = json.loads((WORK / name / "manifest.json").read_text(encoding="utf-8"))
    pairs = {date.fromisoformat(each[key]) for each in manifest["dates"] for key in ("fine1", "fine2") if each.get(key)}
    errors: dict[str, dict[date, float]] = {}
    for each in manifest["check"]["dates"]:
        for method in (METHODS[0], *BASELINES):
            title = registry.methods()[method].title.removeprefix("Baseline: ")
            errors.setdefault(title, {})[date.fromisoformat(each["date"])] = each["methods"][method]["rmse"]
    stacks = {"coarse": coarse, "fused": series, "fine, used": {day: fine[day] for day in sorted(pairs)}}
    return Course(
        "NDVI", UNIT, {day: float(np.isfinite(image).mean()) for day, image in fine.items()}, pairs,
        {which: {day: float(np.nanmean(image)) for day, image in images.items()} for which, images in stacks.items()},
        errors,
    )


def orders() -> None:
    """An index before or after the fusion."""
    files(BOUCONNE, "S2_L3A_*.tif")
    insert("orders", index_orders.table(data_folder() / BOUCONNE, WORK / "orders"), PREPARED)


def insert(name: str, text: str, page: Path = PAGE) -> None:
    """Put a table between its marks in a page."""
    begin, end = (mark.format(name) for mark in MARKS)
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{begin}\n")
    after = rest.partition(f"{end}\n")[2]
    page.write_text(f"{before}{begin}\n\n{text}\n{end}\n{after}", encoding="utf-8")


def main() -> int:
    """Fuse, measure, draw and write."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        for scene in (year, salton, west_hubei, orders):
            scene()
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Wrote {PAGE}, its pictures in {SHIPPED}, and those of the scene that may not be passed on in {WORK}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
