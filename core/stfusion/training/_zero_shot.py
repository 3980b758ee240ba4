"""Sharpening a scene with a network that learns from that scene alone, or with one that learnt from its neighbour."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
from stfusion.raster.grids import Box
from stfusion.raster.mtf import gains_of, pan_gain_of
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._rivals import Rivals
from stfusion.training._samples import MOST_INVALID, stacked
from stfusion.training._schedule import Settings
from stfusion.training._sharpening_data import SharpeningSample, normalised
from stfusion.training._sharpening_sources import ReducedScene
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

    def opened(context: Context, memory: int) -> SceneCrops:
        scene = open_scene(context, memory)
        stored = fitted(context, scene, kind(start.card.form), start) if start else None
        return SceneCrops(context, scene, kind, stored)

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


#: What makes a crop, none where it is too much invalid.
Maker = Callable[[np.random.Generator], Crop | SharpeningSample | None]


class SceneCrops:
    """Crops of a scene, by chance to learn from, and some that it is judged by.

    They are at full resolution or reduced by Wald's protocol, or in turns, and then judged at full resolution.
    """

    pixels = ("multispectral", "panchromatic")
    grid: Literal["gis", "toolbox"] = "gis"

    def __init__(
        self, context: Context, scene: Scene, kind: type[ZeroShot], stored: Normalisation | None
    ) -> None:
        self._scene, self._seed, self._ratio = scene, context.job.seed, scene.ratio
        sensor, gains, self._learn_at = (str(context.options[name]) for name in ("sensor", "gains", "learn_at"))
        self._crop = int(context.options["crop"])
        self._gains = gains_of(sensor, gains, scene.bands)
        self._reduced = ReducedScene("the scene", scene, self._gains, pan_gain_of(sensor))
        for shape in [scene.shape] * (self._learn_at != "reduced") + [self._reduced.shape] * (self._learn_at != "full"):
            if min(self._sides(shape)) < 4 * self._ratio:
                raise UserError(
                    f"{scene.pan} and {scene.multispectral} have {shape[1]} x {shape[0]} pixels in common at the "
                    f"resolution to learn at, and {4 * self._ratio} x {4 * self._ratio} are needed; give larger "
                    "images or crops, or choose another resolution."
                )
        count = scene.bands
        if stored is None:
            own, pan = (from_samples([sample_of(image)], False, "stored") for image in (scene.multispectral, scene.pan))
            stored = Normalisation("stored", own.offset + pan.offset, own.scale + pan.scale)
        self.normalisation = stored
        self._scalings = stored.bands(slice(count)), stored.bands(slice(count, None))
        self._judge = kind(self.formed(Form(target="image", size="small")))
        self._makers = {
            "full": (self._full_crop,), "reduced": (self._reduced_crop,), "both": (self._full_crop, self._reduced_crop)
        }[self._learn_at]
        drawn = (self._draw(self._makers[0], 1, number) for number in range(_HELD))
        self.validation = [crop for crop in drawn if crop is not None]
        if not self.validation:
            raise UserError(
                f"In no part of {self._crop} x {self._crop} pixels do {scene.multispectral} and {scene.pan} have "
                "enough valid pixels to learn from; check nodata values and masks, or take a smaller 'Crop'."
            )

    @property
    def ratio(self) -> tuple[float, float]:
        """The ratio, twice."""
        return float(self._ratio), float(self._ratio)

    @property
    def patches(self) -> int:
        """Number of different crops side by side."""
        shape = self._reduced.shape if self._learn_at == "reduced" else self._scene.shape
        return max(1, shape[0] * shape[1] // math.prod(self._sides(shape)))

    @property
    def words(self) -> str:
        """The scene in words."""
        how = {
            "full": "without a truth", "reduced": "reduced by Wald's protocol",
            "both": "without a truth, and reduced by Wald's protocol",
        }
        return f"{self._scene.multispectral} and {self._scene.pan}, {how[self._learn_at]}"

    def formed(self, form: Form) -> Form:
        """A form for the bands, the ratio and the sensor of the scene."""
        return replace(form, bands=self._scene.bands, ratio=self._ratio, gains=self._gains)

    def describe(self) -> Mapping[str, Any]:
        """The data in plain values, for the model card."""
        name = f"{Path(self._scene.multispectral.path).name}, {Path(self._scene.pan.path).name}"
        return {"places": [{"name": name, "size": list(self._scene.shape)}], "training_patches": self.patches,
                "validation_samples": len(self.validation), "form": asdict(self._judge.form)}

    def draw(self, epoch: int, index: int) -> Crop | SharpeningSample:
        """A crop to learn from: always the same one for an epoch and an index."""
        return self._draw(self._makers[index % len(self._makers)], 0, epoch, index) or self.validation[0]

    def held(self, number: int) -> Crop | SharpeningSample:
        """A crop to judge by."""
        return self.validation[number]

    def _draw(self, make: Maker, *key: int) -> Crop | SharpeningSample | None:
        """A crop of a kind; none where all that were looked at are too much invalid."""
        rng = np.random.default_rng([self._seed, *key])
        return next((crop for crop in (make(rng) for _ in range(_TRIES)) if crop is not None), None)

    def _sides(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a crop of an image: as many as wanted, or as there are."""
        rows, columns = (min(self._crop, side) // self._ratio * self._ratio for side in shape)
        return rows, columns

    def _place(self, shape: tuple[int, int], rng: np.random.Generator) -> Box:
        """A crop of an image anywhere that begins with a multispectral pixel."""
        rows, columns = self._sides(shape)
        top, left = (
            self._ratio * int(rng.integers((whole - side) // self._ratio + 1))
            for whole, side in zip(shape, (rows, columns), strict=True)
        )
        return Box(top, top + rows, left, left + columns)

    def _full_crop(self, rng: np.random.Generator) -> Crop | None:
        patch = self._scene.read(self._place(self._scene.shape, rng))
        valid = np.ones(patch.box.shape, bool) if patch.valid is None else patch.valid
        if np.count_nonzero(~valid) > MOST_INVALID * valid.size:
            return None
        own, pan = self._scalings
        return Crop(
            own, pan.apply(patch.pan[None]), own.apply(patch.expanded),
            own.apply(self._scene.nested(patch.box, 0, self._ratio)), valid, self._judge,
        )

    def _reduced_crop(self, rng: np.random.Generator) -> SharpeningSample | None:
        own, pan = self._scalings
        found = normalised(self._reduced.read(0, self._place(self._reduced.shape, rng)), own, pan)
        if found is None:
            return None
        images, valid = found
        return SharpeningSample(
            own, pan, self.grid, self._ratio, images.pan, images.expanded, images.multispectral, images.truth, valid
        )


RIVALS: Rivals = {"interpolated": lambda context, crop: crop.expanded}
