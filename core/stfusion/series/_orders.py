"""The dates of a plan as jobs: one of a fusion method for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stfusion import job, registry
from stfusion.assessment._plan import read_settings
from stfusion.declaration import Method, Scalar
from stfusion.errors import UserError
from stfusion.job import Input, Job
from stfusion.parts import Part
from stfusion.raster.stack import name_of
from stfusion.run import Context
from stfusion.series._plan import Plan
from stfusion.series._planner import Choice, Pair

UNCERTAINTY = "uncertainty"
#: The inputs of the series that are handed on to a method that has them.
_HANDED_ON = ("class_map", "weights")


def settings_of(context: Context, method: Method) -> dict[str, Scalar]:
    """The options of the method that the job gives.

    Raises
    ------
    UserError
        An option is unknown or out of range, or the method lacks what is asked of it.
    """
    if context.options["uncertainty"] and UNCERTAINTY not in {output.id for output in method.outputs}:
        raise UserError(f"{method.title} gives no uncertainty; switch 'Uncertainty' off, or choose another method.")
    for role in method.roles:
        if role.id in _HANDED_ON and role.required and role.id not in context.job.inputs:
            raise UserError(f"{method.title} needs '{role.title}' ({role.id}); give a file.")
    settings = read_settings(str(context.options["options"]), [method], "'Options of the method'")[method.id]
    job.options_of(method, settings)
    return settings


def parts_of(context: Context, plan: Plan, folder: Path) -> list[Part]:
    """A part for every date that is fused or kept, which writes into the folder.

    Raises
    ------
    UserError
        An option of the method is unknown or out of range.
    """
    name = str(context.options["name"])
    if not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"'Name of the files' (name) is '{name}'; use letters, digits, '_', '-', '+' and '.' alone.")
    settings = settings_of(context, plan.method)
    return [_part(context, plan, choice, settings, folder) for choice in plan.choices if choice.action != "skip"]


def _part(
    context: Context, plan: Plan, choice: Choice, settings: Mapping[str, Scalar], folder: Path
) -> Part:
    name = name_of(str(context.options["name"]), choice.day)
    outputs = {"output": str(folder / name)}
    if choice.action == "keep":
        fine = plan.stacks.images["fine"][choice.day].plain()
        # The copy of a fine image is all the same a fusion, whose coarse images do not count.
        inputs = {"fine": fine, "coarse": fine, "target": fine}
        order = order_of(context, registry.get("fuse", "copy_fine"), {}, inputs, outputs)
    else:
        if context.options["uncertainty"]:
            outputs[UNCERTAINTY] = str(folder / UNCERTAINTY / name)
        inputs = inputs_of(plan, choice.pairs, plan.stacks.images["coarse"][choice.day])
        order = order_of(context, plan.method, settings, inputs, outputs)
    return Part(f"{choice.day:%Y%m%d}", choice.day.isoformat(), order)


def inputs_of(plan: Plan, pairs: Sequence[Pair], target: Input) -> dict[str, Any]:
    """The images of some pairs, the best one first, and the coarse image of the date, as they stand in a job."""
    images = plan.stacks.images
    found = {"target": target.plain()}
    for number, pair in zip(("", "2"), pairs, strict=False):
        found[f"fine{number}"] = images["fine"][pair.fine].plain()
        coarse = images["coarse"].get(pair.coarse or pair.fine)
        if coarse is not None:
            # Both images of a pair count as of the date of the fine one.
            found[f"coarse{number}"] = {**coarse.plain(), "date": pair.fine.isoformat()}
    return found


def order_of(
    context: Context, method: Method, settings: Mapping[str, Scalar], inputs: Mapping[str, Any],
    outputs: Mapping[str, str],
) -> Job:
    """The job of a method; of the inputs it gets those that it has."""
    own, roles = context.job, {role.id for role in method.roles}
    given = {**inputs, **{name: own.inputs[name].plain() for name in _HANDED_ON if name in own.inputs}}
    plain = {
        "operation": method.operation, "method": method.id, "options": dict(settings),
        "inputs": {name: image for name, image in given.items() if name in roles}, "outputs": dict(outputs),
        "seed": own.seed, "device": own.device, "memory_mb": own.memory_mb, "threads": own.threads,
    }
    return job.parse(plain)
