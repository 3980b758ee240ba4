"""The trainer on a tiny network: what a step does, when a training ends, and that it goes on where it was ended."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from stfusion.errors import Cancelled, OutOfMemory, UserError
from stfusion.networks._batch import FusionBatch
from stfusion.networks._network import Form, Stage
from stfusion.training._average import Average
from stfusion.training._schedule import Plan
from stfusion.training._state import State, flat, load, nested, save
from stfusion.training._validation import figures
from toy_training import BANDS, Even, Notes, Toy, batch, images, joined, sample, trainer

PROGRAM = Path(__file__).with_name("toy_training.py")


def test_epochs_are_shared_among_stages() -> None:
    stages = (Stage("a", ("net",), 1.0), Stage("b", ("net",), 3.0))
    assert Plan.of(stages, 8, 10).ends == (2, 8)
    assert Plan.of(stages, 2, 10).ends == (1, 2)
    assert [Plan.of(stages, 8, 10).stage(epoch) for epoch in (0, 1, 2, 7)] == [0, 0, 1, 1]
    with pytest.raises(UserError, match="2 stages"):
        Plan.of(stages, 1, 10)


def test_rates_rise_and_fall_in_every_stage() -> None:
    plan = Plan((10, 30), 20)
    first = [plan.rate(epoch, step) for epoch in range(10) for step in range(20)]
    assert first[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert first[10] == 1.0
    assert first[105] == pytest.approx(0.02 + 0.98 * 0.5)
    assert 0.02 < first[-1] < 0.021
    assert plan.rate(10, 0) == pytest.approx(1 / 20)
    assert all(later <= earlier for earlier, later in pairwise(first[10:]))


def test_average_is_the_formula() -> None:
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0]]))
    average = Average(module, 0.3)
    expected = np.array([1.0, 2.0])
    for step in range(6):
        with torch.no_grad():
            module.weight += step
        kept = min(0.3, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * module.weight.detach().numpy()[0]
        average.update()
    assert average.values["weight"].numpy()[0] == pytest.approx(expected, rel=1e-6)
    own = module.weight.detach().clone()
    with average.applied():
        assert torch.equal(module.weight, average.values["weight"])
    assert torch.equal(module.weight, own)


def test_state_is_whole_and_holds_no_objects(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], 0.1)
    weight.grad = torch.full((3,), 0.5)
    optimiser.step()
    tensors: dict[str, torch.Tensor] = {}
    plain = {"optimiser": flat(optimiser.state_dict(), "optimiser", tensors)}
    save(tmp_path / "state", State(tensors, plain))
    read = load(tmp_path / "state")
    again = torch.optim.Adam([nn.Parameter(torch.ones(3))], 0.2)
    again.load_state_dict(nested(read.plain["optimiser"], read.tensors))
    assert again.param_groups[0]["lr"] == 0.1
    assert torch.equal(again.state_dict()["state"][0]["exp_avg"], optimiser.state_dict()["state"][0]["exp_avg"])
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    (tmp_path / "state").write_bytes(b"\x80\x04garbage")
    with pytest.raises(UserError, match="not the state of a training"):
        load(tmp_path / "state")


def test_the_first_step_is_that_of_the_recipe() -> None:
    """Gradients clipped to norm 1, the rate of the plan, the part's optimiser, computed here by hand."""
    notes = Notes()
    training = trainer(notes=notes, epochs=2, steps=1, average=0.0, clip=0.02)
    network = training.network
    reference = Toy(Form(bands=BANDS))
    reference.load_state_dict(network.state_dict())
    training.run()
    reference.net.requires_grad_(True)
    # Without noise the gradient is proportional, and the clipped gradient the same.
    error = reference.predict(batch(0, 0)) - batch(0, 0).truth
    (error.square().mean() + 0.0).backward()
    assert len(notes.steps) == 2
    assert notes.steps[0][2] == 1.0
    assert set(notes.steps[1][1]) == {"critic", "error", "judged"}
    assert network.clamped == 1


def test_clipping_bounds_the_step() -> None:
    """SGD with rate 1 moves by the clipped norm exactly."""

    class Plain(Even):
        stages = (Stage("only", ("net",)),)

        def optimiser(self, part: str) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.net.parameters(), 1.0)

    network = Plain(Form(bands=BANDS))
    before = {name: value.clone() for name, value in network.net.state_dict().items()}
    trainer(network, epochs=1, steps=1, clip=0.003, average=0.0).run()
    moved = math.sqrt(sum(float((value - before[name]).square().sum()) for name, value in
                          network.net.state_dict().items()))
    assert moved == pytest.approx(0.003, rel=1e-3)


def test_training_learns_and_the_best_is_kept() -> None:
    notes = Notes()
    training = trainer(notes=notes, epochs=24, steps=10, learning_rate=0.03)
    progress = training.run()
    rmse = [record.rmse for record in progress.records if record.rmse is not None]
    assert progress.ended == "all epochs are done"
    assert [record.stage for record in progress.records] == ["first"] * 12 + ["second"] * 12
    assert all(record.loss is not None and record.rmse is None for record in progress.records[:12])
    assert rmse[-1] < rmse[0] / 2
    assert notes.improvements[-1].rmse == min(rmse)
    assert notes.improvements[-1].epoch == progress.best_epoch
    assert notes.shares == sorted(notes.shares)
    assert notes.shares[-1] == pytest.approx(1.0)


def test_validation_figures_are_those_of_the_averaged_weights() -> None:
    """RMSE of the best weights, computed here from the definition."""
    notes = Notes()
    training = trainer(notes=notes, epochs=2, steps=5)
    training.run()
    network = Toy(Form(bands=BANDS))
    network.net.load_state_dict(notes.best)
    errors = []
    for item in range(3):
        held = images(999, item)
        error = (network.predict(held) - held.truth).detach().numpy()[0]
        errors.append(np.sqrt((error**2).mean(axis=(1, 2))).mean())
    record = notes.improvements[-1]
    assert record.rmse_normalised == pytest.approx(np.mean(errors), rel=1e-5)
    assert record.rmse == pytest.approx(100 * np.mean(errors), rel=1e-5)
    shown = notes.scores[-1].predictions
    assert list(shown) == [0]


def test_invalid_pixels_are_not_judged() -> None:
    held = sample(0)
    prediction = held.truth.copy()
    prediction[0, :4] += 1
    assert figures(prediction, held)[:2] == pytest.approx([25.0, 0.25])
    held.valid[:4] = False
    assert figures(prediction, held) == pytest.approx([0.0, 0.0, 1.0, np.nan, np.nan], nan_ok=True)
    prediction[0, 9, 9] = np.nan
    assert np.isinf(figures(prediction, held)[0])


def test_angles_and_ergas_are_those_of_a_sharpening() -> None:
    held = sample(0)
    held.ratio = 4.0
    held.truth[0], held.truth[1] = 0.5, 0.25
    prediction = held.truth * np.float32(1.1)
    assert figures(prediction, held)[3:] == pytest.approx([0.0, 100 / 4 * 0.1], abs=1e-2)
    held.truth[1] = 0.5
    prediction[0], prediction[1] = 0.5, 0.0
    assert figures(prediction, held)[3:] == pytest.approx([45.0, 25 * np.sqrt(0.5)], abs=1e-3)


def test_early_stop() -> None:
    """With a learning rate of nearly nothing no epoch is better than the first one of the last stage."""
    notes = Notes()
    training = trainer(notes=notes, epochs=40, steps=2, learning_rate=1e-30, patience=3)
    progress = training.run()
    assert progress.epoch == 20 + 1 + 3
    assert progress.best_epoch == 21
    assert "no epoch of the last 3" in progress.ended


@pytest.mark.parametrize("epoch", [1, 3])
def test_losses_that_are_no_numbers_end_the_training(epoch: int) -> None:
    class Failing(Toy):
        def forward(self, part: str, given: FusionBatch) -> dict[str, torch.Tensor]:
            losses = super().forward(part, given)
            if part == "net" and training.progress.epoch == epoch and training.progress.step == 2:
                losses["error"] = losses["error"] * math.nan
            return losses

    notes = Notes()
    training = trainer(Failing(Form(bands=BANDS)), notes)
    progress = training.run()
    assert f"step 3 of epoch {epoch + 1}; lower the learning rate" in progress.ended
    assert len(progress.records) == epoch
    assert bool(notes.best) is (epoch == 3)
    assert all(torch.isfinite(value).all() for value in notes.best.values())


def test_a_batch_that_does_not_fit_is_learnt_from_in_pieces() -> None:
    """The weights are those of the whole batch."""

    class Large(Even):
        def forward(self, part: str, given: FusionBatch) -> dict[str, torch.Tensor]:
            if len(given.target) > 1 and self.limited:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super().forward(part, given)

        limited = True

    class Roomy(Large):
        limited = False

    results, notes = [], Notes()
    for kind in (Roomy, Large):
        torch.manual_seed(1)
        training = trainer(kind(Form(bands=BANDS)), notes)
        training.run()
        results.append(training.network.state_dict())
    assert ["in 2 pieces" in notes.warnings[0], "in 4 pieces" in notes.warnings[1]] == [True, True]
    for name, value in results[0].items():
        assert torch.allclose(value, results[1][name], atol=1e-6), name

    class Hopeless(Even):
        def forward(self, part: str, given: FusionBatch) -> dict[str, torch.Tensor]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemory, match="batch of 1 does not fit"):
        trainer(Hopeless(Form(bands=BANDS))).run()


def test_an_interruption_changes_nothing(tmp_path: Path) -> None:
    """Stopped by hand in the middle of an epoch, then gone on with from the kept state."""

    class Impatient(Notes):
        def check(self) -> None:
            if len(self.steps) == 17:
                raise Cancelled("The run was cancelled.")

    whole = trainer()
    whole.run()
    notes = Impatient()
    stopped = trainer(notes=notes, save_minutes=0.0)
    with pytest.raises(Cancelled):
        stopped.run()
    assert notes.best  # of the third epoch
    save(tmp_path / "state", notes.states[-1])
    again = trainer()
    again.resume(load(tmp_path / "state"))
    assert (again.progress.epoch, again.progress.step) == (3, 2)
    progress = again.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    compared = [(record.epoch, record.losses, record.rmse) for record in whole.progress.records]
    assert compared == [(record.epoch, record.losses, record.rmse) for record in progress.records]


def test_a_time_is_kept_to() -> None:
    """Interrupted, to go on later; or planned so that it ends in time."""
    interrupted = trainer(notes=Notes(wait=0.05), epochs=50, minutes=1.0 / 60)
    progress = interrupted.run()
    assert not progress.ended
    assert 1 <= progress.epoch < 10
    fitted = trainer(notes=Notes(wait=0.05), epochs=500, minutes=2.0 / 60, fit=True)
    progress = fitted.run()
    assert progress.ends[-1] < 20
    assert progress.epoch >= progress.ends[-1] // 2


def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    subprocess.run([sys.executable, PROGRAM, whole], check=True)
    process = subprocess.Popen([sys.executable, PROGRAM, killed, "0.15"])
    step = killed / "step"
    deadline = time.monotonic() + 120
    # In the middle of the second epoch of eight steps.
    while not (step.exists() and step.read_text(encoding="utf-8").strip() in ("12", "13")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "weights.safetensors").exists()
    subprocess.run([sys.executable, PROGRAM, killed], check=True)
    expected, found = load_file(whole / "weights.safetensors"), load_file(killed / "weights.safetensors")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_two_processes_learn_like_one_with_twice_the_batch(tmp_path: Path) -> None:
    several = tmp_path
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM, several, "0",
         "even"],
        check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    torch.manual_seed(7)
    one = trainer(Even(Form(bands=BANDS)), epochs=2, steps=8, batch=4)
    one.run()
    found = load_file(several / "weights.safetensors")
    for name, value in one.network.state_dict().items():
        assert torch.allclose(value, found[name], atol=1e-5), name


def test_batches_of_the_toy_are_shared_among_processes() -> None:
    whole = batch(1, 2, 4)
    parts = [batch(1, 2, 2, rank, 2) for rank in range(2)]
    assert torch.equal(whole.target, joined([
        FusionBatch((p.fine[0][i:i + 1],), (p.coarse[0][i:i + 1],), p.target[i:i + 1], truth=p.truth[i:i + 1])
        for i in range(2) for p in parts
    ]).target)
