"""Training of fusion networks: a new one on dated layers, or one that is adapted to a scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from stfusion.errors import UserError
from stfusion.networks._checkpoint import load
from stfusion.networks._network import Form, FusionNetwork, fusion_class
from stfusion.networks._normalisation import Normalisation
from stfusion.networks._shared import NETWORKS, shipped
from stfusion.run import Context
from stfusion.training._baselines import RIVALS
from stfusion.training._batches import Data
from stfusion.training._data import open_training_data
from stfusion.training._wanted import Wanted
from stfusion.training._work import Order, run, settings_of

#: Most epochs of a fine-tuning, whose time is what is planned; and its share of the recipe's learning rate.
_MOST_EPOCHS, _FINE_RATE = 1000, 0.1


def train(context: Context) -> dict[str, Any]:
    """Train a new network; the result has the checkpoint, the report, and the figures on validation.

    Raises
    ------
    UserError
        The data cannot be learnt from, an option does not suit the network, or the training failed.
    """
    options = context.options
    kind = fusion_class(str(options["network"]))
    pairs, target = int(options["pairs"]) or kind.pairs[0], str(options["target"])
    if pairs not in kind.pairs:
        raise UserError(
            f"'Pairs' (pairs) is {pairs} and a network '{kind.id}' takes {' or '.join(map(str, kind.pairs))}."
        )
    if target not in kind.targets:
        raise UserError(
            f"'What the network gives' (target) is '{target}' and a network '{kind.id}' gives: "
            f"{', '.join(kind.targets)}."
        )
    size: Literal["published", "small"] = "small" if options["size"] == "small" else "published"
    form = Form(pairs=pairs, size=size, target="residual" if target == "residual" else "image")
    ratio = float(options["ratio"])
    wanted = replace(
        _wanted(context, kind, form, bool(options["per_band"])),
        ratio=(ratio, ratio) if ratio else None,
        simulated=float(options["simulated"]),
        landscapes=float(options["landscapes"]),
        days=int(options["days"]),
        varied=bool(options["augmentation"]),
        mirrored=bool(options["mirrored"]),
    )
    return run(context, Order(
        kind, form, _opener(wanted), RIVALS, settings_of(context), int(options["samples"])
    ))


def fine_tune(context: Context) -> dict[str, Any]:
    """Adapt a trained network to a scene; the result has the checkpoint, the report, and the figures on validation.

    Raises
    ------
    UserError
        There are no weights to start from, the scene cannot be learnt from, or the training failed.
    """
    given, name = context.job.inputs.get("weights"), str(context.options["network"])
    path = given.path if given else shipped(name)
    if path is None:
        raise UserError(
            f"No weights of '{name}' come with STF; give a checkpoint as 'Weights' (weights), or choose another "
            "network."
        )
    start = load(path)
    card = start.card
    if card.network not in NETWORKS:
        raise UserError(f"'{path}' is of the network '{card.network}', which does not fuse; choose another checkpoint.")
    kind = fusion_class(card.network)
    wanted = _wanted(context, kind, card.form, card.normalisation.kind == "scene")
    settings = replace(settings_of(context), epochs=_MOST_EPOCHS, fit=True, recipe_share=_FINE_RATE)
    stored = card.normalisation if card.normalisation.kind == "stored" else None
    samples = int(context.options["samples"])
    return run(context, Order(kind, card.form, _opener(wanted, stored), RIVALS, settings, samples, start))


def _opener(wanted: Wanted, stored: Normalisation | None = None) -> Callable[[Context, int], Data]:
    """What opens the data of a job; ``stored`` is the normalisation of a network that was trained before."""

    def opened(context: Context, memory: int) -> Data:
        inputs, reporter = context.job.inputs, context.reporter
        dataset = inputs.get("dataset")
        return open_training_data(
            wanted, inputs.get("fine"), inputs.get("coarse"), dataset.path if dataset else None,
            reporter.log, reporter.warning, memory, stored,
        )

    return opened


def _wanted(context: Context, kind: type[FusionNetwork], form: Form, per_band: bool) -> Wanted:
    """What both trainings want of their data.

    Raises
    ------
    UserError
        The network cannot take patches of that size.
    """
    options, layout = context.options, kind.layout
    patch = int(options["patch"]) or layout.patch
    if not kind.takes(patch):
        near = min(filter(kind.takes, range(1, 2 * patch + layout.patch)), key=lambda side: abs(side - patch))
        raise UserError(
            f"'Patch' (patch) is {patch} and a network '{kind.id}' cannot be given patches with that side; take {near}."
        )
    # The coarse images of the pairs are read for every network, since the baselines need them.
    return Wanted(
        patch=patch, pairs=form.pairs, symmetric=kind.symmetric, per_band=per_band,
        share=float(options["validation_share"]), held_out=int(options["held_out"]),
        changed=float(options["changed"]), seed=context.job.seed,
    )
