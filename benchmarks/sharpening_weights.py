"""Train the networks of sharpening whose weights come with the engine, on a part of a real scene.

``python benchmarks/sharpening_weights.py train fusionnet`` trains one on the west of the scene, in as many runs as it
takes: each run goes on where the last one ended. ``ship fusionnet`` judges it on the east, which it has never seen, and
puts it among the engine's weights where its ERGAS is smaller than that of GSA and of the default. ``make sharpened``
then writes all figures.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from typing import Any

from rasterio.errors import NotGeoreferencedWarning

from momotombo import BICUBIC, SENSOR, images
from scenes import ROOT, order
from sharpened import RIVALS, measure
from stfusion import registry
from stfusion.networks._checkpoint import load, save
from stfusion.networks._shared import WEIGHTS_FOLDER
from stfusion.protocol import TextReporter
from stfusion.run import run

TRAINED = ROOT / "build" / "sharpening_weights"
LOGS = ROOT / "docs" / "weights"
#: What each is trained with; the seed is 0.
RECIPES: dict[str, dict[str, Any]] = {
    **{name: {"epochs": 30, "learning_rate": 0.001} for name in ("pannet", "msdcnn", "fusionnet", "gppnn")},
    **{name: {"epochs": 30} for name in ("ddif", "ssdiff")},
}
COMMON: dict[str, Any] = {"size": "small", "samples": 800}
#: Steps of the diffusion models, as few as those of fusion do best with.
STEPS = {"ddif": 2, "ssdiff": 2}
SCENE = "the west of a scene of Landsat 8 at the volcano Momotombo, 2015-12-05 (CC0, courtesy of USGS)"
LICENCE = "GPL-2.0-or-later"
LIMITS = (
    "For six bands in reflectance (blue, green, red, near infrared and two of short-wave infrared) of Landsat 8 and 9, "
    "twice as wide as those of the panchromatic band.",
    "Learnt from 300 x 334 pixels of a single scene: a tropical volcano with woods, lava, water and some cloud.",
)


def train(name: str, minutes: float, threads: int) -> int:
    """Train a network, or go on with it, for some minutes (0: to its end); the exit code of the engine."""
    TRAINED.mkdir(parents=True, exist_ok=True)
    given = order(
        "train_pansharpening", network=name, **images(TRAINED, "west"), sensor=SENSOR, minutes=minutes,
        checkpoint=TRAINED / f"{name}.safetensors", **COMMON, **RECIPES[name],
    )
    return run(replace(given, threads=threads), TextReporter())


def ship(name: str) -> None:
    """Judge a network on the east, and put it among the engine's weights in half precision if it wins."""
    checkpoint, title = load(TRAINED / f"{name}.safetensors"), registry.methods()[name].title
    card = replace(
        checkpoint.card,
        title=f"{name}, as it comes with STF",
        data={**checkpoint.card.data, "scene": SCENE}, limits=(*checkpoint.card.limits, *LIMITS), licence=LICENCE,
        steps=STEPS.get(name, checkpoint.card.steps),
    )
    trial = TRAINED / "trial.safetensors"
    save(trial, checkpoint.build(), card, half=True)
    found = measure("east", [*RIVALS, name], **{name: trial})
    names = {BICUBIC: "interpolated", **{registry.methods()[each].title: each for each in (*RIVALS, name)}}
    for method, each in found.items():
        print(f"{method}: ERGAS {each['ergas']:.3f}, SAM {each['sam']:.3f}, Q2n {each['q2n']:.4f}")
    if found[title]["ergas"] >= min(found[registry.methods()[rival].title]["ergas"] for rival in RIVALS):
        print(f"{title} does not win and does not come with weights.")
        return
    log = (TRAINED / f"{name}.training" / "history.csv").read_text(encoding="utf-8")
    (LOGS / f"{name}.csv").write_text(log, encoding="utf-8")
    figures = {
        f"{names[method]}, east": {measure: each[measure] for measure in ("ergas", "sam", "q2n")}
        for method, each in found.items()
    }
    save(
        WEIGHTS_FOLDER / f"{name}.safetensors", checkpoint.build(),
        replace(card, figures={**card.figures, **figures}), half=True,
    )


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "ship"))
    parser.add_argument("network", choices=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=0.0, help="interrupt a training after so many minutes")
    parser.add_argument("--threads", type=int, default=0, help="threads of a training (default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    if options.action == "train":
        return train(options.network, options.minutes, options.threads)
    ship(options.network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
