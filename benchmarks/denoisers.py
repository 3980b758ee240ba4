"""The diffusion models for sharpening learn: the small ones are trained on simulated landscapes and judged on others.

    PYTHONPATH=core python benchmarks/denoisers.py [ddif|ssdiff ...] [--steps 1200] [--write]

The landscapes have four bands and a panchromatic one, which is a sum of them; multispectral pixels are four times as
wide, as QuickBird's bands would see them. Three landscapes on three dates are learnt from, two others are for the
figures, which ``--write`` puts into the pages of the networks. The weights are kept in ``build/denoisers``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter

import numpy as np
import torch

from scenes import ROOT
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._checkpoint import Card, save
from stfusion.networks._network import Form, Network, Sampler, Sampling, network_class, parameter_count
from stfusion.networks._normalisation import Normalisation, from_samples
from stfusion.preparation._landscape import DATES
from stfusion.raster.grids import Box
from stfusion.raster.interpolation import enlarged, interpolation
from stfusion.raster.mtf import SENSORS
from stfusion.raster.resolution import mtf_filter, reduce
from stfusion.raster.source import Array
from stfusion.training._devices import connect
from stfusion.training._landscapes import SIDE, LandscapePlace
from stfusion.training._progress import Progress, Record
from stfusion.training._schedule import Settings
from stfusion.training._state import State
from stfusion.training._trainer import Trainer
from stfusion.training._validation import Scores, Validation

#: The networks, and the highest rates that they learn with: that of a tuning in turns, for one that ends so.
RATES = {"ddif": 2e-3, "ssdiff": 3e-4}
FOLDER = ROOT / "build" / "denoisers"
BEGIN, END = "<!-- written by benchmarks/denoisers.py -->", "<!-- end of the table -->"
DAYS = range(len(DATES))
RATIO, SENSOR, PAN = 4, "QuickBird", (0.10, 0.30, 0.35, 0.25)
#: Landscapes to learn from and to judge by, the side of a patch, patches of a step, steps of an epoch.
LEARNT, JUDGED, PATCH, BATCH, STEPS = range(3), range(3, 5), 32, 4, 100
#: Patches for the figures of an epoch and for those at the end, and the seed.
VALIDATED, COUNTED, SEED = 16, 64, 1
#: Samplers, steps, and samples whose mean is taken.
SAMPLINGS: tuple[tuple[Sampler, int, int], ...] = (
    ("ddim", 1, 1), ("ddim", 5, 1), ("ddim", 25, 1), ("dpm-solver++", 5, 1), ("ddim", 5, 4)
)


@dataclass(frozen=True)
class Held:
    """A patch that is not learnt from, as the validation wants it."""

    truth: Array
    normalisation: Normalisation
    ratio: float = RATIO

    @property
    def valid(self) -> np.ndarray:
        """All of it."""
        return np.ones(self.truth.shape[1:], bool)


@cache
def place(number: int) -> LandscapePlace:
    """A landscape, which is made when it is first read."""
    return LandscapePlace(number, len(PAN), SEED)


def seen(number: int, epoch: int) -> Array:
    """The bands of a landscape on a date, and the panchromatic image as the last one."""
    bands = place(number).read("fine", DATES[epoch], Box(0, SIDE, 0, SIDE), None)
    return np.concatenate([bands, np.tensordot(np.float32(PAN), bands, 1)[None]])


@cache
def scaling() -> Normalisation:
    """The range of every band in what is learnt from."""
    images = [seen(number, epoch)[:, ::4, ::4].reshape(len(PAN) + 1, -1) for number in LEARNT for epoch in DAYS]
    return from_samples(images, False, "stored")


@cache
def landscape(number: int, epoch: int) -> tuple[Array, Array, Array, Array]:
    """The panchromatic, the interpolated, the multispectral and the true image of a landscape on a date, normalised."""
    *bands, pan = scaling().apply(seen(number, epoch))
    coarse = []
    for band, gain in zip(bands, SENSORS[SENSOR].gains, strict=True):
        which = mtf_filter(gain, RATIO)
        padded = np.pad(band, (-which.start, which.stop - RATIO), "symmetric")
        coarse.append(reduce(padded, which, RATIO))
    small = np.array(coarse, np.float32)
    taps = interpolation((np.arange(SIDE) + 0.5) / RATIO - 0.5, "cubic").since(-2)
    wide = enlarged(np.pad(small, ((0, 0), (2, 2), (2, 2)), "edge"), taps, taps)
    return pan[None], wide, small, np.array(bands)


def patches(places: list[tuple[int, int, int, int]]) -> SharpeningBatch:
    """Patches by landscape, date, row and column, in multispectral pixels."""
    parts: list[list[Array]] = [[], [], [], []]
    for number, epoch, row, column in places:
        for part, image in zip(parts, landscape(number, epoch), strict=True):
            scale = RATIO * image.shape[-1] // SIDE
            side = PATCH * scale // RATIO
            part.append(image[:, row * scale : row * scale + side, column * scale : column * scale + side])
    pan, wide, small, truth = (torch.from_numpy(np.stack(part)) for part in parts)
    return SharpeningBatch(pan, wide, small, truth=truth)


def drawn(rng: np.random.Generator, numbers: range) -> tuple[int, int, int, int]:
    """A place by chance."""
    last = (SIDE - PATCH) // RATIO + 1
    number, epoch, row, column = rng.integers([numbers[0], 0, 0, 0], [numbers[-1] + 1, len(DAYS), last, last])
    return int(number), int(epoch), int(row), int(column)


def learnt(epoch: int, steps: range) -> Iterator[SharpeningBatch]:
    """The batches of some steps of an epoch."""
    for step in steps:
        rng = np.random.default_rng((SEED, epoch, step))
        yield patches([drawn(rng, LEARNT) for _ in range(BATCH)])


def judged(count: int) -> SharpeningBatch:
    """Patches that are not learnt from."""
    rng = np.random.default_rng((SEED, 2**20))
    return patches([drawn(rng, JUDGED) for _ in range(count)])


def held() -> Iterator[tuple[list[Held], SharpeningBatch]]:
    """The patches for the figures of an epoch."""
    batch = judged(VALIDATED)
    if batch.truth is not None:
        yield [Held(image, scaling().bands(slice(len(PAN)))) for image in batch.truth.numpy()], batch


class Watch:
    """Says how the training goes, and keeps the best weights."""

    def __init__(self) -> None:
        self.best: dict[str, torch.Tensor] = {}
        self.steps = 0

    def check(self) -> None:
        """Nothing stops it."""

    def advanced(self, done: float, total: float, seconds: float) -> None:
        """Nothing is shown."""

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Count."""
        self.steps = step

    def warned(self, sentence: str) -> None:
        """Say so."""
        print(sentence, flush=True)

    def improved(self, network: Network, record: Record) -> None:
        """Keep the weights."""
        self.best = {name: value.detach().clone() for name, value in network.net.state_dict().items()}

    def kept(self, state: State) -> None:
        """Nothing is kept."""

    def epoch_ended(self, progress: Progress, scores: Scores | None) -> None:
        """Say how good it is."""
        record = progress.records[-1]
        print(record.epoch, record.stage, record.losses, record.rmse_normalised, record.loss, flush=True)


def ergas(image: torch.Tensor, truth: torch.Tensor) -> float:
    """ERGAS over all pixels of all patches, in reflectance."""
    known = scaling()
    size, low = (torch.tensor(part[: len(PAN)]) for part in (known.scale, known.offset))
    squares = ((image - truth).square().mean((0, 2, 3)) * size**2) / (truth.mean((0, 2, 3)) * size + low) ** 2
    return 100 / RATIO * math.sqrt(squares.mean())


def figures(
    network: Network, batch: SharpeningBatch, samplings: tuple[tuple[Sampler, int, int], ...] = SAMPLINGS
) -> dict[str, float]:
    """ERGAS by how images are drawn."""
    found, truth = {}, batch.truth
    network.eval()
    for sampler, steps, samples in samplings:
        images = torch.stack([_drawn(network, batch, sampler, steps, SEED + number) for number in range(samples)])
        if truth is not None:
            found[f"{sampler}, steps: {steps}, samples: {samples}"] = ergas(images.mean(0), truth)
    return found


@torch.inference_mode()
def _drawn(network: Network, batch: SharpeningBatch, sampler: Sampler, steps: int, seed: int) -> torch.Tensor:
    """A sample of all patches, some at a time."""
    noise = torch.randn(batch.shape, generator=torch.Generator().manual_seed(seed))
    return torch.cat([
        network.predict(batch.map(itemgetter(part)), Sampling(partial(_same, noise[part]), steps, sampler))
        for part in (slice(first, first + 32) for first in range(0, len(batch), 32))
    ])


def _same(noise: torch.Tensor, step: int) -> torch.Tensor:
    """The noise to begin with; there is no other."""
    return noise


def learn(name: str, steps: int) -> list[str]:
    """Train a network; the rows of its table."""
    samples = patches([drawn(np.random.default_rng((SEED, 0, n)), LEARNT) for n in range(64)])
    truth, test = samples.truth, judged(COUNTED)
    if truth is None or test.truth is None:
        raise ValueError("patches without truth")
    spread = float((truth - samples.expanded).std())
    torch.manual_seed(SEED)
    form = Form(bands=len(PAN), size="small", target="residual", residual_scale=spread, ratio=RATIO)
    network, watch, begun = network_class(name)(form), Watch(), time.process_time()
    base, start = ergas(test.expanded, test.truth), figures(network, test, SAMPLINGS[1:2])
    print(f"{name}: residuals of {spread:.4f}, ERGAS {base:.3f} and {start}", flush=True)
    settings = Settings(
        epochs=steps // STEPS, steps=STEPS, batch=BATCH, learning_rate=RATES[name], average=0.99, seed=SEED
    )
    trainer = Trainer(
        network, lambda epoch, steps: (batch for batch in learnt(epoch, steps)),
        Validation(VALIDATED, held, SEED), settings, connect("cpu", "float32"), watch,
    )
    trainer.run()
    seconds = time.process_time() - begun
    network.net.load_state_dict(watch.best)
    after = figures(network, test)
    FOLDER.mkdir(parents=True, exist_ok=True)
    card = Card(name, form, scaling(), ratio=(RATIO, RATIO), licence="CC0-1.0")
    save(FOLDER / f"{name}.safetensors", network, card)
    return [
        f"{parameter_count(network.net):,} parameters, {watch.steps} steps of {BATCH} patches of {PATCH} x {PATCH} "
        f"pixels, {seconds / 60:.0f} minutes of processor time.",
        f"ERGAS of {COUNTED} patches of landscapes that were not learnt from:",
        "",
        "| Image | ERGAS |",
        "| --- | ---: |",
        f"| Bands, interpolated | {base:.3f} |",
        *(f"| Before training, {how} | {figure:.3f} |" for how, figure in start.items()),
        *(f"| {how} | {figure:.3f} |" for how, figure in after.items()),
    ]


def main() -> None:
    """Train the networks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("networks", nargs="*", default=list(RATES), help=f"of {', '.join(RATES)}; all by default")
    parser.add_argument("--steps", type=int, default=1200, help="steps of the training of each")
    parser.add_argument("--write", action="store_true", help="write the tables into the networks' pages")
    chosen = parser.parse_args()
    for name in chosen.networks:
        rows = learn(name, chosen.steps)
        print("\n".join(rows), flush=True)
        if chosen.write:
            page = ROOT / "docs" / "methods" / f"{name}.md"
            before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
            _, _, after = rest.partition(END)
            table = "\n".join(rows)
            page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
