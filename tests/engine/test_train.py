"""Training as a user starts it: on dated layers, what it leaves, how it goes on, and fine-tuning."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from tensorboardX.proto.event_pb2 import Event

from makers import Outcome, Said, read_raster, run_method, write_raster
from stfusion import job, registry
from stfusion.networks import _checkpoint
from stfusion.networks._batch import FusionBatch
from stfusion.networks._checkpoint import load
from stfusion.networks._network import Layout
from stfusion.run import Stop, run
from stfusion.training import _train, _training_report
from stfusion.training._batches import collate
from stfusion.training._data import open_training_data
from stfusion.training._wanted import Wanted
from toy_training import Toy

DAYS = ("20200101", "20200401", "20200801", "20201101")
#: Options of a training that is over at once.
QUICK: dict[str, Any] = {"epochs": 4, "samples": 16, "batch": 4, "patch": 32, "held_out": 3, "average": 0.5}


class Quick(Toy):
    layout = Layout(patch=32, margin=1, ramp=0, multiple=4)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The smallest network stands for the one that is chosen; reports have their pictures in one test only."""
    if request.function is not test_what_a_training_leaves:
        for name in ("maps", "curve"):
            monkeypatch.setattr(_training_report, name, lambda *_: b"")
    monkeypatch.setattr(_train, "fusion_class", lambda name: Quick)
    monkeypatch.setattr(_checkpoint, "network_class", lambda name: Quick)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Fine and coarse images (2 bands, ratio 8) of four dates, in DN of 1/10000."""
    folder, rng = tmp_path_factory.mktemp("scene"), np.random.default_rng(1)
    fields = np.kron(rng.random((2, 32, 32)), np.ones((4, 4)))
    season = np.kron(rng.random((2, 8, 8)), np.ones((16, 16)))
    paths: dict[str, list[str]] = {"fine": [], "coarse": []}
    for number, day in enumerate(DAYS):
        fine = 1000 + 2000 * fields + 800 * season * np.sin(number) + rng.normal(0, 20, fields.shape)
        coarse = fine.reshape(2, 16, 8, 16, 8).mean(axis=(2, 4)) + 50
        transform = Affine(240.0, 0.0, 500_000.0, 0.0, -240.0, 5_200_000.0)
        paths["fine"].append(write_raster(folder / f"fine_{day}.tif", fine.astype(np.uint16)))
        paths["coarse"].append(write_raster(folder / f"coarse_{day}.tif", coarse.astype(np.uint16), transform))
    return paths


def train(path: Path, scene: dict[str, list[str]], stop: Stop | None = None, **options: Any) -> Outcome:
    return start("train", stop, checkpoint=str(path), **{**scene, **QUICK, **options})


def start(method: str, stop: Stop | None = None, **values: Any) -> Outcome:
    """With one thread: tiny sums are quicker without a second one."""
    return run_method(method, stop, {"threads": 1}, **values)


def test_what_a_training_leaves(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    path = tmp_path / "net.safetensors"
    outcome = train(path, scene)
    assert outcome.code == 0, outcome.said.lines
    result = outcome.said.of("result")[0]
    assert result["checkpoint"] == str(path)
    card = load(path).card
    assert (card.network, card.form.bands, card.form.pairs, card.normalisation.kind) == ("edcstfn", 2, 1, "stored")
    assert card.ratio == pytest.approx((8, 8))
    assert list(card.figures) == ["copy_fine", "upsampled_coarse", "fine_plus_difference", "starfm", "edcstfn"]
    assert card.figures["edcstfn"]["RMSE"] == result["rmse"]
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["network"] == "edcstfn"
    assert "| **edcstfn** |" in path.with_suffix(".md").read_text(encoding="utf-8")
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    for words in ("RMSE normalised (validation)", "error (training)", "critic (training)", "Images of a sample",
                  "starfm", "The training has ended", "Curves", "Seed"):
        assert words in page, words
    folder = tmp_path / "net.training"
    with (folder / "history.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["epoch"] for line in lines] == ["1", "2", "3", "4"]
    assert [line["stage"] for line in lines] == ["first", "first", "second", "second"]
    assert lines[0]["rmse"] == "" and float(lines[3]["rmse"]) > 0  # noqa: PT018
    tags = {(value.tag, event.step) for event in events(folder) for value in event.summary.value}
    assert {("validation/RMSE", 16), ("validation/loss", 4), ("training/error", 10)} <= tags
    assert outcome.said.of("progress") == sorted(outcome.said.of("progress"))
    assert not list(tmp_path.glob("*.part"))


def events(folder: Path) -> Iterator[Event]:
    """The events of a folder: records of a length, its check sum, the data and their check sum."""
    for path in sorted(folder.glob("events.out.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event()
            event.ParseFromString(data[12 : 12 + length])
            yield event
            data = data[16 + length :]


def test_figures_of_the_card_are_those_of_the_images(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    """Computed here, of a single sample of the validation, from the definitions."""
    path = tmp_path / "net.safetensors"
    assert train(path, scene, held_out=1).code == 0
    wanted = Wanted(patch=32, held_out=1)
    inputs = [job.Input(paths[0], more=tuple(paths[1:])) for paths in (scene["fine"], scene["coarse"])]
    data = open_training_data(wanted, *inputs)
    sample = data.held(0)
    undo = sample.normalisation.undo
    truth, fine, coarse, target = map(undo, (sample.truth, sample.fine[0], sample.coarse[0], sample.target))
    network = load(path).build()
    with torch.no_grad():
        own = undo(network.predict(collate([sample])).numpy()[0])
    for role, image in (("fine", fine), ("coarse", coarse), ("target", target)):
        write_raster(tmp_path / f"{role}.tif", image)
    fused = str(tmp_path / "starfm.tif")
    paths = {role: str(tmp_path / f"{role}.tif") for role in ("fine", "coarse", "target")}
    assert run_method("starfm", window=31, output=fused, **paths).code == 0
    predictions = {
        "copy_fine": fine, "upsampled_coarse": target, "fine_plus_difference": fine + target - coarse,
        "starfm": read_raster(fused), "edcstfn": own,
    }
    figures = load(path).card.figures
    for name, image in predictions.items():
        rmse = np.sqrt(((image - truth) ** 2).mean(axis=(1, 2))).mean()
        assert figures[name]["RMSE"] == pytest.approx(rmse, rel=1e-3), name
    assert figures["starfm"]["RMSE"] < figures["copy_fine"]["RMSE"]


def test_simulated_coarse_images_single_bands_and_residuals(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    path = tmp_path / "net.safetensors"
    outcome = start("train", checkpoint=str(path), fine=scene["fine"], per_band=True, ratio=4.0,
                         target="residual", **QUICK)
    assert outcome.code == 0, outcome.said.lines
    card = load(path).card
    assert (card.form.bands, card.form.target, card.normalisation.kind) == (1, "residual", "scene")
    assert card.ratio == (4.0, 4.0)
    assert 0.001 < card.form.residual_scale < 1
    # The first prediction is near the sum of the fine image and the coarse change.
    assert card.figures["edcstfn"]["RMSE"] < 3 * card.figures["fine_plus_difference"]["RMSE"]


def test_going_on_and_beginning_anew(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    whole, path = tmp_path / "whole.safetensors", tmp_path / "net.safetensors"
    bands: dict[str, Any] = {"fine_bands": [2, 1], "coarse_bands": [2, 1]}
    scene = {**scene, **bands}
    assert train(whole, scene).code == 0
    interrupted = train(path, scene, minutes=1e-6)
    assert interrupted.code == 0
    assert any("1 of 4 epochs; the same command goes on" in line for line in interrupted.said.of("log"))
    assert "There is no checkpoint yet" in interrupted.said.of("warning")[-1]
    assert not path.exists()
    again = train(path, scene)
    assert any("goes on in epoch 2" in line for line in again.said.of("log"))
    expected, found = load(whole).state, load(path).state
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    finished = train(path, scene)
    assert any("has ended before" in line for line in finished.said.of("log"))
    other = train(path, scene, batch=2)
    assert other.code == 2
    assert "'batch' was 4 and is 2" in other.error
    anew = train(path, scene, batch=2, restart=True)
    assert anew.code == 0
    path.unlink()
    assert "is missing" in train(path, scene, batch=2).error


def test_cancel_keeps_the_best(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    path, stop = tmp_path / "net.safetensors", Stop()

    class Impatient(Said):
        def emit(self, kind: str, **fields: Any) -> None:
            super().emit(kind, **fields)
            if "Epoch 3" in str(fields.get("message")):
                # As a request to stop does, without its timer.
                stop._event.set()

    said = Impatient()
    values = {**scene, **QUICK, "checkpoint": str(path), "epochs": 8}
    values["epochs"] = 4
    order = job.parse(job.build(registry.methods()["train"], values))
    assert run(order, said, stop) == 130
    assert load(path).card.training["epoch of the checkpoint"] == 3
    assert "The training goes on" in path.with_suffix(".html").read_text(encoding="utf-8")
    assert train(path, scene).code == 0


def test_losses_that_are_no_numbers(
    tmp_path: Path, scene: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Quick):
        steps = 0

        def forward(self, part: str, given: FusionBatch) -> dict[str, torch.Tensor]:
            self.steps += part == "net" and self.training
            losses = super().forward(part, given)
            return {name: value * (np.nan if self.steps > self.limit else 1) for name, value in losses.items()}

        limit = 13

    monkeypatch.setattr(_train, "fusion_class", lambda name: Failing)
    path = tmp_path / "net.safetensors"
    outcome = train(path, scene)
    assert outcome.code == 0
    (warning,) = [line for line in outcome.said.of("warning") if "was ended" in line]
    assert "step 2 of epoch 4; lower the learning rate" in warning
    assert "The checkpoint is of epoch 3" in warning
    assert load(path).card.training["epoch of the checkpoint"] == 3
    monkeypatch.setattr(Failing, "limit", 2)
    outcome = train(tmp_path / "other.safetensors", scene)
    assert outcome.code == 2
    assert "ended without a usable network" in outcome.error


@pytest.mark.parametrize(("values", "words"), [
    ({"pairs": 2}, "'Pairs' (pairs) is 2 and a network 'edcstfn' takes 1."),
    ({"patch": 30}, "cannot be given patches with that side; take 28."),
    ({"epochs": 1}, "too few for a network that is trained in 2 stages; take 2 at least"),
    ({"fine": None, "coarse": None}, "There is nothing to learn from"),
])
def test_what_cannot_be(tmp_path: Path, scene: dict[str, list[str]], values: dict[str, Any], words: str) -> None:
    outcome = train(tmp_path / "net.safetensors", scene, **values)
    assert outcome.code == 2
    assert words in outcome.error


def test_patches_too_small_for_ssim(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    """The card has no figure that is unknown, and the report a dash."""
    path = tmp_path / "net.safetensors"
    assert train(path, scene, patch=8, epochs=2).code == 0
    figures = load(path).card.figures
    assert list(figures["starfm"]) == list(figures["edcstfn"]) == ["RMSE", "RMSE normalised"]


def test_files_beside_the_checkpoint_are_no_inputs(tmp_path: Path) -> None:
    dataset = tmp_path / "net.json"
    dataset.write_text("{}", encoding="utf-8")
    outcome = start("train", dataset=str(dataset), checkpoint=str(tmp_path / "net.safetensors"))
    assert outcome.code == 2
    assert "is also an input" in outcome.error
    assert dataset.read_text(encoding="utf-8") == "{}"
    outcome = run_method("train", checkpoint=str(tmp_path / "other.json"))
    assert "let it end in '.safetensors'" in outcome.error


def test_without_the_packages_of_the_networks(
    tmp_path: Path, scene: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stfusion.training._train", None)
    outcome = train(tmp_path / "net.safetensors", scene)
    assert outcome.code == 3
    assert "'Install engine' in QGIS with 'Packages of the networks'" in outcome.error


def test_fine_tuning(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    """From a network of another scene; with a learning rate that is far too high it is kept as it was."""
    first, tuned = tmp_path / "start.safetensors", tmp_path / "tuned.safetensors"
    other = {name: paths[:2] for name, paths in scene.items()}
    assert train(first, other, epochs=2, samples=4).code == 0
    quick = {"samples": 64, "batch": 4, "patch": 32, "held_out": 3, "minutes": 0.2}
    outcome = start("fine_tune", weights=str(first), checkpoint=str(tuned), learning_rate=0.02, average=0.5,
                         **scene, **quick)
    assert outcome.code == 0, outcome.said.lines
    (gain,) = [line for line in outcome.said.of("log") if "before and" in line]
    before, after = (float(word) for word in (gain.split()[3], gain.split()[6]))
    assert after < 0.9 * before
    card = load(tuned).card
    assert card.training["started from"] == "start.safetensors"
    assert card.normalisation == load(first).card.normalisation
    assert "start of the training" in tuned.with_suffix(".html").read_text(encoding="utf-8")

    kept = tmp_path / "kept.safetensors"
    one_pair = {name: paths[0] for name, paths in scene.items()}
    outcome = start("fine_tune", weights=str(tuned), checkpoint=str(kept), learning_rate=10.0, **one_pair, **quick,
                         average=0.0, clip=0.0)
    assert outcome.code == 0, outcome.said.lines
    assert all(torch.equal(value, load(tuned).state[name]) for name, value in load(kept).state.items())

    bands = start("fine_tune", weights=str(tuned), checkpoint=str(kept), fine=scene["fine"], patch=32,
                  fine_bands=[1])
    assert "The images have 1 band(s)" in bands.error
    missing = start("fine_tune", network="sr3", checkpoint=str(kept), fine=scene["fine"])
    assert "No weights of 'sr3' come with STF" in missing.error


def test_the_command_line_killed_and_started_again(tmp_path: Path, scene: dict[str, list[str]]) -> None:
    """A real network, in processes of their own; and two processes that train one together."""

    def command(name: str, batch: int = 4) -> list[str]:
        options = {"--epochs": "3", "--samples": "16", "--batch": str(batch), "--patch": "32", "--held-out": "2",
                   "--size": "small", "--threads": "1"}
        words = [word for pair in options.items() for word in pair]
        return ["-m", "stfusion", "train", "stfnet", "--fine", *scene["fine"], "--coarse",
                *scene["coarse"], "--checkpoint", str(tmp_path / f"{name}.safetensors"), *words]

    def start(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    start(*command("whole"))
    process = subprocess.Popen([sys.executable, *command("killed")], stdout=subprocess.DEVNULL)
    state, deadline = tmp_path / "killed.training" / "state.safetensors", time.monotonic() + 120
    while not state.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    start(*command("killed"))
    start("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command("shared", 2))
    expected, found, shared = (load(tmp_path / f"{name}.safetensors") for name in ("whole", "killed", "shared"))
    assert expected.card.figures == found.card.figures
    assert all(torch.equal(value, found.state[name]) for name, value in expected.state.items())
    # Two processes with half of the batch each.
    assert shared.card.training["processes"] == 2
    assert shared.card.figures["stfnet"] == pytest.approx(expected.card.figures["stfnet"], rel=1e-3)


def test_the_network_is_a_word_of_the_command(engine_help: str) -> None:
    assert "NETWORK" in engine_help


@pytest.fixture
def engine_help() -> str:
    done = subprocess.run([sys.executable, "-m", "stfusion", "train", "--help"], capture_output=True, text=True,
                          check=True)
    return done.stdout.splitlines()[0] + done.stdout
