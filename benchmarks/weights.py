"""Train the networks whose weights come with the engine, and judge them on places that they have never seen.

``python benchmarks/weights.py train edcstfn`` trains one, in as many runs as it takes: each run goes on where the last
one ended. ``ship`` puts what was trained among the engine's weights, ``judge`` compares all that lie there with the
baselines and STARFM on the places that were held out, and writes ``docs/weights.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
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
#: The places that are held out altogether, by the number of pairs that the networks get.
HELD_OUT = {1: ("corumba", "boreas_one_pair", "westhubei"), 2: ("boreas", "westhubei_two_pairs")}
#: What a network has to beat in the mean share and in the mean similarity, and what its figures were at last.
RIVALS = ("copy_fine", "upsampled_coarse", "fine_plus_difference", "starfm")
FIGURES_KEPT = LOGS / "held_out.json"
#: Figures on validation, and how many times STARFM's error makes a network hopeless, which is not judged.
VALIDATION_KEPT = LOGS / "validation.json"
HOPELESS = 2.0

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
STEPS = {"sr3": 2, "stfdiff": 2}
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
range of its own scene. They learn what is missing in the fine image plus the change of the coarse image; GAN-STFM,
STFDCNN and SR3 learn the image.

RMSE, and in brackets SSIM, on the places that were held out altogether. BOREAS and Corumba are in reflectance and
West Hubei in NDVI: the mean is one of the errors as shares of that of the fine image plus the coarse difference.
Networks that come with weights are bold. Methods for one pair, and the baselines, get the nearer one of two; a network
for one pair predicts from each of two.

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
    the validation, and structures go on becoming better to the end. A network that is far from STARFM on validation
    leaves its figures only.
    """
    checkpoint, state = load(WORK / f"{name}.safetensors"), load_state(WORK / f"{name}.training" / "state.safetensors")
    network, last = checkpoint.build(), state.plain["progress"]["records"][-1]
    network.net.load_state_dict(state.part("average."))
    figures = {**checkpoint.card.figures, name: validated(name, network.eval())}
    LOGS.mkdir(parents=True, exist_ok=True)
    log = (WORK / f"{name}.training" / "history.csv").read_text(encoding="utf-8")
    (LOGS / f"{name}.csv").write_text(log, encoding="utf-8")
    _keep(VALIDATION_KEPT, {**_kept(VALIDATION_KEPT), name: figures})
    if figures[name]["RMSE"] > HOPELESS * figures["starfm"]["RMSE"]:
        print(f"{name} is too far from STARFM to be judged.")
        return
    card = replace(
        checkpoint.card,
        title=f"{name}, as it comes with STF",
        figures=figures,
        training={**checkpoint.card.training, "epoch of the checkpoint": last["epoch"]},
        limits=(*checkpoint.card.limits, *LIMITS), licence=LICENCE, steps=STEPS.get(name, checkpoint.card.steps),
    )
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    save(WEIGHTS_FOLDER / f"{name}.safetensors", network, card, half=True)


def _kept(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _keep(path: Path, figures: dict[str, Any]) -> None:
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def validated(name: str, network: Network) -> dict[str, float]:
    """The figures on validation, of a diffusion model those of the mean of four samples, as it is used."""
    recipe = {**COMMON, **RECIPES[name]}
    shared = {key: recipe[key] for key in ("patch", "per_band", "simulated", "landscapes", "mirrored", "held_out")}
    wanted = Wanted(pairs=network.form.pairs, symmetric=network.symmetric, **shared)
    data = open_training_data(wanted, data_set=str(data_set()))
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


def westhubei() -> dict[str, Scene]:
    """The scenes whose files have no coordinate system, with one, so that coarse pixels find their place."""
    folder = WORK / "westhubei"
    folder.mkdir(parents=True, exist_ok=True)
    fine = {"april": "L8_NDVI_20150414", "august": "L8_NDVI_20150804", "december": "L8_NDVI_20151210"}
    coarse = {"april": "MOD13_NDVI_20150407", "august": "MOD13_NDVI_20150728", "december": "MOD13_NDVI_20151203"}
    truth, target = "L8_NDVI_20151014", "MOD13_NDVI_20150930"
    for name in (*fine.values(), *coarse.values(), truth, target):
        side = 30.0 if name.startswith("L8") else 240.0
        with rasterio.open(data_folder() / "stf_westhubei_ndvi_2015" / f"{name}.tif") as source:
            profile = {**source.profile, "crs": "EPSG:32649", "transform": rasterio.Affine(side, 0, 0, 0, -side, 0)}
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as written:
                written.write(source.read())
    return {
        name: Scene(
            f"West Hubei, NDVI of Landsat 8 and MODIS, {' and '.join(map(str.title, months))} to October", str(folder),
            tuple(f"{fine[month]}.tif" for month in months), f"{truth}.tif",
            tuple(f"{coarse[month]}.tif" for month in months), f"{target}.tif", ratio=8,
        )
        for name, months in (("westhubei", ("april",)), ("westhubei_two_pairs", ("august", "december")))
    }


Figures = dict[str, dict[str, Any]]


def judged(pairs: int) -> Figures:
    """RMSE and SSIM of rivals and networks on the held-out places, and their means, by method.

    Weights that were judged before keep their figures, as do networks whose weights were withdrawn; a network is
    judged anew without ``docs/weights/held_out.json``.
    """
    figures: Figures = {name: each for name, each in _kept(FIGURES_KEPT).get(str(pairs), {}).items() if name in RECIPES}
    sums = {name: _checksum(name) for name in RECIPES if shipped(name) and pairs in _pairs(name)}
    new = [name for name, found in sums.items() if figures.get(name, {}).get("weights") != found]
    methods = [*RIVALS, *new]
    found = {name: compare(name, SCENES[name], ",".join(methods), WORK) for name in HELD_OUT[pairs]}
    base = [each["methods"]["fine_plus_difference"]["rmse"]["mean"] for each in found.values()]
    for method in methods:
        scores = [each["methods"][method] for each in found.values()]
        rmse, ssim = ([score[measure]["mean"] for score in scores] for measure in ("rmse", "ssim"))
        figures[method] = {
            "title": scores[0]["title"], "rmse": rmse, "ssim": ssim,
            "share": float(np.mean(np.divide(rmse, base))), "similarity": float(np.mean(ssim)),
        }
        if method in sums:
            figures[method]["weights"] = sums[method]
    return {name: figures[name] for name in (*RIVALS, *RECIPES) if name in figures}


def _checksum(name: str) -> str:
    return hashlib.sha256((WEIGHTS_FOLDER / f"{name}.safetensors").read_bytes()).hexdigest()


def _pairs(name: str) -> tuple[int, ...]:
    """The numbers of pairs that the weights of a network can be given."""
    return (1, 2) if load(WEIGHTS_FOLDER / f"{name}.safetensors").card.form.pairs == 1 else (2,)


def wins(figures: Figures, name: str) -> bool:
    """Whether a network beats all its rivals, in the mean share of the error and in the mean similarity."""
    own = figures[name]
    return all(
        own["share"] < figures[rival]["share"] and own["similarity"] > figures[rival]["similarity"] for rival in RIVALS
    )


def judge() -> Iterator[str]:
    """The page: errors on the places that were held out, and the means; weights that do not win are withdrawn."""
    SCENES.update(westhubei())
    figures = {pairs: judged(pairs) for pairs in HELD_OUT}
    _keep(FIGURES_KEPT, {str(pairs): table for pairs, table in figures.items()})
    decisive = {name: figures[1] if name in figures[1] else figures[2] for name in RECIPES if name in figures[2]}
    for name, table in decisive.items():
        if shipped(name) and not wins(table, name):
            for suffix in (".safetensors", ".json", ".md"):
                (WEIGHTS_FOLDER / f"{name}{suffix}").unlink()
    yield HEAD
    for pairs, title in ((1, "## One pair"), (2, "## Two pairs")):
        yield f"{title}\n\n{''.join(_table(HELD_OUT[pairs], figures[pairs]))}\n"
    for name, scene in ((name, SCENES[name]) for names in HELD_OUT.values() for name in names):
        yield f"* {_place(name)}: {scene.title}, ratio {scene.ratio}.\n"
    beaten = [each["title"] for name, table in decisive.items() for each in (table[name],) if not wins(table, name)]
    yield (
        f"\nLearnt from: {', '.join(name for name in PLACES if name != VALIDATION)} and simulated landscapes;\n"
        f"validated on {VALIDATION}. The course of every training is in [weights](weights); its data, options and\n"
        "seed are in the model card beside the weights (`core/stfusion/networks/weights`). Every training took less\n"
        "than an hour on a processor.\n\n"
        "Weights come with the networks that beat the three baselines and STARFM in the mean share and in the mean\n"
        "SSIM, with one pair, or with two where they need two. Those that do not are offered for training, without\n"
        f"weights: {', '.join(beaten) or 'none'}.\n"
    )
    for name, table in _kept(VALIDATION_KEPT).items():
        if table[name]["RMSE"] > HOPELESS * table["starfm"]["RMSE"]:
            yield (
                f"\n{registry.methods()[name].title} was not judged: on validation its error was "
                f"{table[name]['RMSE'] / table['starfm']['RMSE']:.1f} times that of STARFM.\n"
            )


def _table(scenes: Sequence[str], figures: Figures) -> Iterator[str]:
    yield f"| Method | {' | '.join(map(_place, scenes))} | Mean share | Mean SSIM |\n"
    yield f"| --- |{' ---: |' * (len(scenes) + 2)}\n"
    for name, each in figures.items():
        title = f"**{each['title']}**" if name in NETWORKS and shipped(name) else each["title"]
        cells = [f"{rmse:.4f} ({ssim:.3f})" for rmse, ssim in zip(each["rmse"], each["ssim"], strict=True)]
        yield f"| {title} | {' | '.join(cells)} | {each['share']:.3f} | {each['similarity']:.3f} |\n"
    yield "\n"
    for column, scene in enumerate(scenes):
        errors = {name: each["rmse"][column] for name, each in figures.items()}
        best = min(errors, key=errors.__getitem__)
        if best not in NETWORKS:
            yield f"By RMSE, '{figures[best]['title']}' is better than every network at {_place(scene)}.\n"


def _place(scene: str) -> str:
    return scene.removesuffix("_one_pair").removesuffix("_two_pairs")


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
