"""Accuracy of STARFM on a real scene against figures that an independent implementation reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makers import read_raster, run_method
from real_data import real_scene

#: What the figures were reached with: direct weights, and a choice of similar pixels for each band.
PLAIN = {"joint": False, "logarithmic": False}
#: Options, and band mean RMSE in reflectance, July predicted from May and August (two) or from August (one).
ANCHORS = [
    ("two", {"classes": 4}, 0.0093),
    ("two", {"classes": 40}, 0.0082),
    ("two", {"classes": 4, "logarithmic": True}, 0.0084),
    ("two", {"classes": 4, "joint": True, "joint_bands": "2,3"}, 0.0090),
    ("one", {"classes": 4}, 0.0079),
]


@pytest.mark.parametrize(("pairs", "options", "rmse"), ANCHORS)
def test_boreas(tmp_path: Path, pairs: str, options: dict[str, Any], rmse: float) -> None:
    folder = real_scene("stf_boreas_2001_envi")

    def image(sensor: str, day: str) -> str:
        return str(folder / f"{sensor}2001{day}")

    inputs = {"fine": image("tm", "0812"), "coarse": image("modis", "0812"), "target": image("modis", "0711")}
    if pairs == "two":
        inputs |= {"fine2": image("tm", "0524"), "coarse2": image("modis", "0524")}
    outcome = run_method("starfm", **inputs, output=str(tmp_path / "fused.tif"), **{**PLAIN, **options})
    assert outcome.code == 0
    truth, fused = read_raster(image("tm", "0711")) / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    reached = np.sqrt(((fused - truth) ** 2).mean(axis=(1, 2))).mean()
    assert reached == pytest.approx(rmse, rel=0.03)
    assert outcome.said.of("result")[0]["date"] == "2001-07-11"


@pytest.mark.parametrize(
    ("test", "end", "rmse"), [("Test_1", "t2", 0.00127), ("Test_2", "t4", 0.0713), ("Test_3", "t4", 0.0162)]
)
def test_simulations_of_the_paper(tmp_path: Path, test: str, end: str, rmse: float) -> None:
    """The paper's simulated scenes, window 31, as good as the best public code: one passed filter is enough, and pure
    coarse pixels (S = 0) outweigh mixed ones."""
    folder = real_scene("stf_gao_simulations") / test
    names = {"fine": "Landsat_t1", "coarse": "MODIS_t1", "target": f"MODIS_{end}"}
    inputs = {role: str(folder / f"sim_{name}.tif") for role, name in names.items()}
    output = str(tmp_path / "fused.tif")
    outcome = run_method(
        "starfm", **inputs, window=31, filter="either", smallest_difference=1e-5, output=output, **PLAIN
    )
    assert outcome.code == 0
    truth, fused = read_raster(folder / f"sim_Landsat_{end}.tif") / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    assert np.sqrt(((fused - truth) ** 2).mean()) <= rmse
