"""Which comes first, the index or the fusion: both orders on two real scenes, as ``series.py`` has them compared.

Coarse images are simulated (16:1). The index of each result is compared with that of the true fine images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from scenes import execute, prepare
from series_pictures import read
from stfusion import registry
from stfusion.raster.dates import from_name
from stfusion.raster.stack import name_of

METHODS = ("starfm", "estarfm", "fit_fc", "vipstf", "fsdaf", "fine_plus_difference")
ORDERS = ("before", "after")
RATIO = 16


@dataclass(frozen=True)
class Case:
    """Fine and coarse images, the index of them, and the fine images of the dates to predict.

    ``bands`` are the numbers of those that are used (all when empty), whose order is that of the words ``order``.
    """

    title: str
    index: str
    order: str
    fine: Sequence[Path]
    coarse: Sequence[Path]
    truth: Sequence[Path]
    bands: str = ""


def bouconne(folder: Path, work: Path) -> Case:
    """Red and near infrared of forest and fields: four dates between three fine images of a year."""
    images = sorted(folder.glob("S2_L3A_*.tif"))
    for image in images:
        execute("simulate_coarse", fine=image, ratio=RATIO, output=work / name_of("coarse", _day(image)))
    fine = [image for image in images if f"{_day(image):%m%d}" in ("0429", "0815", "1115")]
    truth = [image for image in images if image not in fine]
    return Case("Bouconne, NDVI", "ndvi", "red_nir", fine, sorted(work.glob("coarse_*.tif")), truth, "3,4")


def corumba(work: Path) -> Case:
    """Savanna before and after a fire, six bands: the burn ratio."""
    files = prepare("corumba", work)
    coarse = [files.inputs["coarse"], files.inputs["target"]]
    return Case("Corumba, NBR", "nbr", "blue_to_swir", [files.inputs["fine"]], coarse, [files.truth])


def table(folder: Path, work: Path) -> str:
    """RMSE and r of the index by method, scene and order; ``folder`` has the images of Bouconne."""
    places = [work / name for name in ("bouconne", "corumba")]
    for place in places:
        place.mkdir(parents=True)
    cases = bouconne(folder, places[0]), corumba(places[1])
    titles = [f"{case.title}, {order}" for case in cases for order in ORDERS]
    lines = [f"| Method | {' | '.join(titles)} |", "| --- " + "| ---: " * len(titles) + "|"]
    for method in METHODS:
        cells = [cell for case, place in zip(cases, places, strict=True) for cell in _cells(case, method, place)]
        lines.append(f"| {registry.methods()[method].title.removeprefix('Baseline: ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(case: Case, method: str, work: Path) -> list[str]:
    """RMSE and r of both orders, the lower RMSE in bold type; nothing where the scene has too few pairs."""
    required = {role.id for role in registry.methods()[method].roles if role.required}
    if len(case.fine) == 1 and "fine2" in required:
        return ["-"] * len(ORDERS)
    scores = [_score(case, method, order, work) for order in ORDERS]
    best = min(rmse for rmse, _ in scores)
    return [f"**{rmse:.4f}** {r:.3f}" if rmse == best else f"{rmse:.4f} {r:.3f}" for rmse, r in scores]


def _score(case: Case, method: str, order: str, work: Path) -> tuple[float, float]:
    """Means of RMSE and r over the dates to predict."""
    output, days = work / f"{method} {order}", [_day(path) for path in case.truth]
    print(f"{case.title}, {order}: {method}", flush=True)
    execute(
        "prepare_and_fuse", method=method, fine=[str(path) for path in case.fine],
        coarse=[str(path) for path in case.coarse], fine_bands=case.bands, coarse_bands=case.bands, index=case.index,
        index_order=order, index_bands=case.order, shift="no", bad_dates="keep", output=output,
        dates=",".join(map(str, days)),
    )
    found = []
    for day, truth in zip(days, case.truth, strict=True):
        name = f"series/{name_of('fused', day)}" if order == "before" else f"index/{name_of(case.index, day)}"
        result, facts = read(output / name)[0], _index(case, truth, day, work)
        valid = np.isfinite(result) & np.isfinite(facts)
        rmse = float(np.sqrt(np.mean((result - facts)[valid] ** 2)))
        found.append((rmse, float(np.corrcoef(result[valid], facts[valid])[0, 1])))
    rmse, r = np.mean(found, axis=0)
    return float(rmse), float(r)


def _day(path: Path) -> date:
    day = from_name(path.name)
    if day is None:
        raise ValueError(f"{path} has no date in its name")
    return day


def _index(case: Case, image: Path, day: date, work: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The index of a true image."""
    folder = work / f"truth {day}"
    if not folder.is_dir():
        bands = [int(number) for number in case.bands.split(",") if number]
        execute(
            "spectral_index", images=str(image), index=case.index, order=case.order, image_bands=bands or None,
            output=folder,
        )
    (path,) = folder.glob("*.tif")
    return read(path)[0]
