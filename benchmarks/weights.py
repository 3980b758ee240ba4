"""Train the networks whose weights come with the engine, and judge them on places that they have never seen.

``python benchmarks/weights.py train edcstfn`` trains one, in as many runs as it takes: each run goes on where the last
one ended. ``ship`` puts what was trained among the engine's weights, ``judge`` compares all that lie there with the
baselines and STARFM on the places that were held out, and writes ``docs/weights.md``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning

from results import compare
from scenes import ROOT, SCENES, Scene, data_folder
from stfusion import job, registry
from stfusion.networks._checkpoint import load, save
from stfusion.networks._network import Network, Sampling
from stfusion.networks._shared import NETWORKS, WEIGHTS_FOLDER, shipped
from stfusion.protocol import TextReporter
from stfusion.run import run
from stfusion.training._batches import validation_batches
from stfusion.training._data import open_training_data
from stfusion.training._state import load as load_state
from stfusion.training._validation import FIGURES, figures, means, summed
from stfusion.training._wanted import Wanted

PAGE = ROOT / "docs" / "weights.md"
LOGS = ROOT / "docs" / "weights"
WORK = ROOT / "build" / "weights"

#: The places that are learnt from, and the one that says when to stop: folder, files of the fine and the coarse images.
PLACES = {
    "bahia": ("stf_bahia_cbers4_64m", "CBERS4_*.tif", ""),
    "bouconne": ("stf_bouconne_s2_10band", "S2_*.tif", ""),
    "salton": ("stf_salton_hls_viirs", "HLS*.tif", "VIIRS*.tif"),
    "itoiz": ("stf_itoiz_s2_l8", "S2_*.tif", ""),
}
VALIDATION = "itoiz"
#: The places that are held out altogether.
HELD_OUT = ("corumba", "boreas_one_pair", "westhubei")

#: What all have in common: one set of weights for any band of any sensor, from real and simulated coarse images and
#: simulated landscapes; what is left over by the fine image plus the coarse change is learnt.
COMMON: dict[str, Any] = {
    "per_band": True, "target": "residual", "simulated": 0.3, "landscapes": 0.25, "mirrored": True,
    "samples": 1600, "held_out": 96,
}
#: What each is trained with; the seed is 0.
RECIPES: dict[str, dict[str, Any]] = {
    "stfdcnn": {"size": "published", "epochs": 20, "patch": 64, "batch": 16, "target": "image"},
    "stfnet": {"size": "published", "epochs": 20, "patch": 64, "batch": 16},
    "edcstfn": {"size": "small", "epochs": 20, "patch": 64, "batch": 16},
    "gan_stfm": {"size": "small", "epochs": 10, "patch": 64, "batch": 16, "target": "image", "samples": 640},
    "stfgan": {"size": "small", "epochs": 10, "patch": 64, "batch": 16, "samples": 640},
    "swinstfm": {"size": "small", "epochs": 12, "patch": 128, "batch": 8, "samples": 640, "held_out": 32},
    "opgan": {"size": "small", "epochs": 20, "patch": 64, "batch": 16},
    "sr3": {"size": "small", "epochs": 12, "patch": 64, "batch": 16, "target": "image"},
    "stfdiff": {"size": "small", "epochs": 24, "patch": 64, "batch": 16},
}
#: Steps that a diffusion model does best with, of 1, 2, 3, 5 and 10 at the place of the validation.
STEPS = {"stfdiff": 2}
#: Samples that a diffusion model is averaged over unless the user says otherwise.
SAMPLES = 4
LICENCE = "GPL-2.0-or-later"
LIMITS = (
    "Trained on farmland, woods and hills of few places, with coarse images simulated for ratios 4 to 32.",
    "Bands are predicted one at a time: spectra are as consistent as the images are, not by construction.",
)

HEAD = """# The weights that come with STF

Made by `benchmarks/weights.py`: `train NETWORK` (which resumes), `ship NETWORK`, and `judge`, which writes this page.
The networks were trained band by band, so that one set of weights serves any sensor: every image is normalised by the
range of its own scene. They learn what is missing in the fine image plus the change of the coarse image.

"""


def data_set() -> Path:
    """The data set file of the places that are learnt from."""
    places = []
    for name, (folder, fine, coarse) in PLACES.items():
        place: dict[str, Any] = {"name": name, "fine": _dated(folder, fine)}
        place |= {"coarse": _dated(folder, coarse)} if coarse else {}
        place["split"] = "validation" if name == VALIDATION else "training"
        places.append(place)
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / "data.json"
    path.write_text(json.dumps({"schema": 1, "places": places}, indent=1), encoding="utf-8")
    return path


def _dated(folder: str, pattern: str) -> dict[str, str]:
    found = {}
    for path in sorted((data_folder() / folder).glob(pattern)):
        (text,) = re.findall(r"\d{8}", path.name)
        found[f"{text[:4]}-{text[4:6]}-{text[6:]}"] = str(path)
    return found


def train(name: str, minutes: float, threads: int = 0) -> int:
    """Train a network, or go on with it, for some minutes (0: to its end); the exit code of the engine."""
    order = {
        "operation": "train", "method": "train",
        "inputs": {"dataset": {"path": str(data_set())}},
        "outputs": {"checkpoint": str(WORK / f"{name}.safetensors")},
        "options": {**COMMON, **RECIPES[name], "network": name, "minutes": minutes},
        "threads": threads,
    }
    return run(job.parse(order), TextReporter())


def ship(name: str) -> None:
    """Put what was trained among the engine's weights in half precision, and its log among the documentation.

    The weights are the average of the last epoch: its errors are as small as those of the best one within the noise of
    the validation, and structures go on becoming better to the end.
    """
    checkpoint, state = load(WORK / f"{name}.safetensors"), load_state(WORK / f"{name}.training" / "state.safetensors")
    network, last = checkpoint.build(), state.plain["progress"]["records"][-1]
    network.net.load_state_dict(state.part("average."))
    card = replace(
        checkpoint.card,
        title=f"{name}, as it comes with STF",
        figures={**checkpoint.card.figures, name: validated(name, network.eval())},
        training={**checkpoint.card.training, "epoch of the checkpoint": last["epoch"]},
        limits=(*checkpoint.card.limits, *LIMITS), licence=LICENCE, steps=STEPS.get(name, checkpoint.card.steps),
    )
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    save(WEIGHTS_FOLDER / f"{name}.safetensors", network, card, half=True)
    log = (WORK / f"{name}.training" / "history.csv").read_text(encoding="utf-8")
    (LOGS / f"{name}.csv").write_text(log, encoding="utf-8")


def validated(name: str, network: Network) -> dict[str, float]:
    """The figures on validation, of a diffusion model those of the mean of four samples, as it is used."""
    recipe = {**COMMON, **RECIPES[name]}
    shared = {key: recipe[key] for key in ("patch", "per_band", "simulated", "landscapes", "mirrored", "held_out")}
    data = open_training_data(Wanted(symmetric=network.symmetric, **shared), data_set=str(data_set()))
    sums = np.zeros(2 * len(FIGURES))
    for samples, batch in validation_batches(data, recipe["batch"]):
        predictions = []
        for number in range(SAMPLES if network.stochastic else 1):
            random = torch.Generator().manual_seed(number)
            noise = partial(_noise, batch.target.shape, random)
            with torch.inference_mode():
                predictions.append(network.predict(batch, Sampling(noise, STEPS.get(name, 1))).numpy())
        for prediction, sample in zip(np.mean(predictions, axis=0), samples, strict=True):
            sums += summed(figures(prediction, sample))
    return means(sums)


def _noise(shape: torch.Size, random: torch.Generator, step: int) -> torch.Tensor:
    return torch.randn(shape, generator=random)


def westhubei() -> Scene:
    """The scene whose files have no coordinate system, with one, so that its coarse pixels find their place."""
    folder = WORK / "westhubei"
    folder.mkdir(parents=True, exist_ok=True)
    for name, side in (("L8_NDVI_20150414", 30.0), ("L8_NDVI_20151014", 30.0),
                       ("MOD13_NDVI_20150407", 240.0), ("MOD13_NDVI_20150930", 240.0)):
        with rasterio.open(data_folder() / "stf_westhubei_ndvi_2015" / f"{name}.tif") as source:
            profile = {**source.profile, "crs": "EPSG:32649", "transform": rasterio.Affine(side, 0, 0, 0, -side, 0)}
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as target:
                target.write(source.read())
    return Scene(
        "West Hubei, NDVI of Landsat 8 and MODIS", str(folder), ("L8_NDVI_20150414.tif",), "L8_NDVI_20151014.tif",
        ("MOD13_NDVI_20150407.tif",), "MOD13_NDVI_20150930.tif", ratio=8,
    )


def judge() -> Iterator[str]:
    """The page: errors on the places that were held out, and the means."""
    scenes = {name: SCENES.get(name) or westhubei() for name in HELD_OUT}
    SCENES.update(scenes)
    methods = ["copy_fine", "upsampled_coarse", "fine_plus_difference", "starfm"]
    methods += [name for name in RECIPES if shipped(name)]
    found = {name: compare(name, scene, ",".join(methods), WORK) for name, scene in scenes.items()}
    yield HEAD
    yield (
        "RMSE, and in brackets SSIM, on the places that were held out altogether, with one pair. Two are in\n"
        "reflectance and one in NDVI: the mean is one of the errors as shares of that of the fine image plus the\n"
        "coarse difference.\n\n"
    )
    yield f"| Method | {' | '.join(name.removesuffix('_one_pair') for name in scenes)} | Mean share | Mean SSIM |\n"
    yield f"| --- |{' ---: |' * (len(scenes) + 2)}\n"
    for method in methods:
        scores = [found[name]["methods"][method] for name in scenes]
        cells = [f"{score['rmse']['mean']:.4f} ({score['ssim']['mean']:.3f})" for score in scores]
        shares = [
            score["rmse"]["mean"] / found[name]["methods"]["fine_plus_difference"]["rmse"]["mean"]
            for name, score in zip(scenes, scores, strict=True)
        ]
        ssim = [score["ssim"]["mean"] for score in scores]
        means = f"{sum(shares) / len(shares):.3f} | {sum(ssim) / len(ssim):.3f}"
        yield f"| {scores[0]['title']} | {' | '.join(cells)} | {means} |\n"
    yield "\n"
    networks = [method for method in methods if method in NETWORKS]
    for name, numbers in found.items():
        errors = {method: numbers["methods"][method]["rmse"]["mean"] for method in methods}
        best = min(errors, key=errors.__getitem__)
        if best not in networks:
            title, place = numbers["methods"][best]["title"], name.removesuffix("_one_pair")
            yield f"By RMSE, '{title}' is better than every network at {place}.\n"
    yield "\n"
    for name, scene in scenes.items():
        yield f"* {name.removesuffix('_one_pair')}: {scene.title}, ratio {scene.ratio}.\n"
    yield (
        f"\nLearnt from: {', '.join(name for name in PLACES if name != VALIDATION)} and simulated landscapes;\n"
        f"validated on {VALIDATION}. The course of every training is in [weights](weights); its data, options and\n"
        "seed are in the model card beside the weights (`core/stfusion/networks/weights`).\n\n"
        f"{', '.join(registry.methods()[name].title for name in NETWORKS if not shipped(name))} come without weights:\n"
        "they are offered for training, and none have been trained for this table yet. The weights that are here are\n"
        "of the small size, and took less than an hour each on a processor.\n"
    )


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "ship", "judge"))
    parser.add_argument("network", nargs="?", choices=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=0.0, help="interrupt a training after so many minutes")
    parser.add_argument("--threads", type=int, default=0, help="threads of a training (default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    if options.action == "judge":
        PAGE.write_text("".join(judge()).rstrip() + "\n", encoding="utf-8")
        return 0
    if options.network is None:
        parser.error(f"'{options.action}' needs the name of a network")
    if options.action == "train":
        return train(options.network, options.minutes, options.threads)
    ship(options.network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
