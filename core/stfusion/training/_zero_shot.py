"""Sharpening a scene with a network that learns from that scene alone, or with one that learnt from its neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch

from stfusion.errors import UserError
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._checkpoint import Checkpoint, load
from stfusion.networks._network import Form, network_class
from stfusion.networks._normalisation import Normalisation, from_samples, sample_of
from stfusion.networks._sharpen import fitted, sharpen
from stfusion.networks._zero_shot import ZeroShot
from stfusion.pansharpening._opening import open_scene
from stfusion.pansharpening._scene import Scene
from stfusion.raster.mtf import gains_of
from stfusion.raster.source import Array, Box
from stfusion.run import Context
from stfusion.training._rivals import Rivals
from stfusion.training._samples import MOST_INVALID, stacked
from stfusion.training._schedule import Settings
from stfusion.training._work import Order
from stfusion.training._work import run as run_training

#: Steps of an epoch, crops that are looked at after it, and how often a crop is drawn again.
_STEPS, _HELD, _TRIES = 25, 6, 64
#: What every step keeps of the moving average of the weights; progress at the begin and the end of the learning.
_AVERAGE, _LEARNING = 0.9, (4.0, 70.0)
#: Share of the learning rate for weights that have learnt before.
_KNOWN = 0.1


def run(context: Context) -> dict[str, Any]:
    """Learn from the scene where that is wanted, and sharpen it.

    Raises
    ------
    UserError
        The images or the weights cannot be used, or the learning failed.
    """
    given, outputs = context.job.inputs.get("weights"), context.job.outputs
    if not int(context.options["iterations"]):
        if given is None:
            raise UserError("Without 'Iterations' (iterations) the network needs weights; give some, or let it learn.")
        return sharpen(context, _learnt(context, given.path))
    with TemporaryDirectory() as folder:
        path = Path(outputs.get("checkpoint") or Path(folder, f"{context.method.id}.safetensors"))
        # The checkpoint lies where the user wants it, or where it is thrown away.
        job = replace(context.job, outputs={"checkpoint": str(path)})
        learning = Context(job, context.reporter, context.stop)
        found = run_training(learning, _order(context, given.path if given else None))
        sharpened = sharpen(context, load(path), _LEARNING[1])
    kept = ("checkpoint", "report") if "checkpoint" in outputs else ()
    return {**sharpened, **{name: found[name] for name in kept}}


def _learnt(context: Context, path: str) -> Checkpoint:
    """What the method has learnt before.

    Raises
    ------
    UserError
        The checkpoint cannot be read, or is of another network.
    """
    checkpoint, own = load(path), context.method.id
    if checkpoint.card.network != own:
        raise UserError(
            f"'{path}' is of the network '{checkpoint.card.network}' and not of '{own}'; choose another file."
        )
    return checkpoint


def _order(context: Context, weights: str | None) -> Order:
    kind = network_class(context.method.id)
    if not issubclass(kind, ZeroShot):
        raise TypeError(f"{context.method.id} does not learn from a scene")
    start = _learnt(context, weights) if weights else None
    options = context.options
    size: Literal["published", "small"] = "small" if options["size"] == "small" else "published"
    form = start.card.form if start else Form(bands=1, size=size, target="image")
    crop = int(options["crop"])

    def opened(context: Context, memory: int) -> SceneCrops:
        scene = open_scene(context, memory)
        stored = fitted(context, scene, kind(start.card.form), start) if start else None
        return SceneCrops(context, scene, kind, crop, stored)

    settings = Settings(
        epochs=max(1, round(int(options["iterations"]) / _STEPS)), steps=_STEPS, batch=1, average=_AVERAGE,
        recipe_share=_KNOWN if start else 1.0, patience=int(options["patience"]), seed=context.job.seed,
    )
    return Order(kind, form, opened, RIVALS, settings, _STEPS, start, _LEARNING, shown=0)


@dataclass(frozen=True)
class Crop:
    """A part of a scene at full resolution, normalised (bands, rows, columns); its truth is not known."""

    normalisation: Normalisation
    pan: Array
    expanded: Array
    multispectral: Array
    valid: npt.NDArray[np.bool_]
    network: ZeroShot
    ratio: ClassVar[None] = None

    @property
    def truth(self) -> Array:
        """The interpolated image, in place of the truth that there is none of."""
        return self.expanded

    @staticmethod
    def batch(crops: Sequence[Crop]) -> SharpeningBatch:
        """Crops as a batch of tensors on the processor."""
        return SharpeningBatch(
            stacked([crop.pan for crop in crops]), stacked([crop.expanded for crop in crops]),
            stacked([crop.multispectral for crop in crops]), valid=stacked([crop.valid[None] for crop in crops]),
        )

    def figures(self, prediction: Array) -> npt.NDArray[np.float64]:
        """In place of errors: how far the image is, made coarse again, from the multispectral one, and the loss."""
        batch, image = self.batch([self]), torch.from_numpy(prediction[None])
        with torch.no_grad():
            losses = self.network.losses(image, batch)
            coarse = self.network.reprojected(image)[0].numpy()
        undo = self.normalisation.undo
        error = undo(coarse) - undo(self.multispectral)
        rmse = np.sqrt((error.astype(np.float64) ** 2).mean(axis=(1, 2)))
        loss = sum(float(value) for value in losses.values())
        # What takes a truth is not known.
        return np.array([rmse.mean(), loss, np.nan, np.nan, np.nan])

    def pictures(self, prediction: Array) -> dict[str, Array]:
        """What a report shows, by title."""
        return {"Multispectral image, interpolated": self.expanded, "Prediction": prediction}


class SceneCrops:
    """Crops of a scene at full resolution, by chance to learn from, and some that it is judged by."""

    pixels = ("multispectral", "panchromatic")
    grid: Literal["gis", "toolbox"] = "gis"

    def __init__(
        self, context: Context, scene: Scene, kind: type[ZeroShot], crop: int, stored: Normalisation | None
    ) -> None:
        self._scene, self._seed, self._ratio = scene, context.job.seed, scene.ratio
        sides = [min(crop, side) // self._ratio * self._ratio for side in scene.shape]
        self._rows, self._columns = sides
        if min(sides) < 4 * self._ratio:
            raise UserError(
                f"{scene.pan} has {scene.shape[1]} x {scene.shape[0]} pixels that {scene.multispectral} shows too, "
                "which is too little to learn from; give larger images."
            )
        sensor, gains = (str(context.options[name]) for name in ("sensor", "gains"))
        self._gains = gains_of(sensor, gains, scene.bands)
        count = scene.bands
        if stored is None:
            own, pan = (from_samples([sample_of(image)], False, "stored") for image in (scene.multispectral, scene.pan))
            stored = Normalisation("stored", own.offset + pan.offset, own.scale + pan.scale)
        self.normalisation = stored
        self._scalings = stored.bands(slice(count)), stored.bands(slice(count, None))
        self._judge = kind(self.formed(Form(target="image", size="small")))
        self.validation = [crop for crop in (self._draw(1, number) for number in range(_HELD)) if crop is not None]
        if not self.validation:
            raise UserError(
                f"In no part of {self._columns} x {self._rows} pixels do {scene.multispectral} and {scene.pan} have "
                "enough valid pixels to learn from; check nodata values and masks, or take a smaller 'Crop'."
            )

    @property
    def ratio(self) -> tuple[float, float]:
        """The ratio, twice."""
        return float(self._ratio), float(self._ratio)

    @property
    def patches(self) -> int:
        """Number of different crops side by side."""
        return max(1, self._scene.shape[0] * self._scene.shape[1] // (self._rows * self._columns))

    @property
    def words(self) -> str:
        """The scene in words."""
        return f"{self._scene.multispectral} and {self._scene.pan}, without a truth"

    def formed(self, form: Form) -> Form:
        """A form for the bands, the ratio and the sensor of the scene."""
        return replace(form, bands=self._scene.bands, ratio=self._ratio, gains=self._gains)

    def describe(self) -> Mapping[str, Any]:
        """The data in plain values, for the model card."""
        name = f"{Path(self._scene.multispectral.path).name}, {Path(self._scene.pan.path).name}"
        return {"places": [{"name": name, "size": list(self._scene.shape)}], "training_patches": self.patches,
                "validation_samples": len(self.validation), "form": asdict(self._judge.form)}

    def draw(self, epoch: int, index: int) -> Crop:
        """A crop to learn from: always the same one for an epoch and an index."""
        return self._draw(0, epoch, index) or self.validation[0]

    def held(self, number: int) -> Crop:
        """A crop to judge by."""
        return self.validation[number]

    def _draw(self, *key: int) -> Crop | None:
        rng = np.random.default_rng([self._seed, *key])
        rows, columns = self._scene.shape
        for _ in range(_TRIES):
            top, left = (
                self._ratio * int(rng.integers((whole - side) // self._ratio + 1))
                for whole, side in ((rows, self._rows), (columns, self._columns))
            )
            patch = self._scene.read(Box(top, top + self._rows, left, left + self._columns))
            valid = np.ones((self._rows, self._columns), bool) if patch.valid is None else patch.valid
            if np.count_nonzero(~valid) <= MOST_INVALID * valid.size:
                break
        else:
            return None
        own, pan = self._scalings
        return Crop(
            own, pan.apply(patch.pan[None]), own.apply(patch.expanded),
            own.apply(self._scene.nested(patch.box, 0, self._ratio)), valid, self._judge,
        )


RIVALS: Rivals = {"interpolated": lambda context, crop: crop.expanded}
