"""Checkpoints: the numbers of a trained network and its model card, in one safetensors file that executes nothing.

The card lies in the file's header, so that it cannot be lost; a JSON and a Markdown copy lie beside the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from stfusion.errors import UserError
from stfusion.networks._model_card import markdown
from stfusion.networks._network import Form, Network, network_class, parameter_count
from stfusion.networks._normalisation import Normalisation
from stfusion.networks._shared import NETWORKS, SCENE_TAUGHT, SHARPENING

SCHEMA = 1
_CARD = "card"
#: Values nearer to 0 are taken for it: processors are very slow with some of them, and no prediction depends on one.
_TINY = 1e-30
#: Whole numbers with as many bytes.
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Card:
    """What a trained network is, where it comes from and what it is good for.

    ``ratio`` has the smallest and the largest ratio of coarse to fine pixel size that it was trained for (0, 0:
    unknown), ``bands`` the names of its bands. ``data``, ``training`` and ``figures`` are plain values for JSON:
    places, dates and split; options, seeds and packages; RMSE and SSIM on validation by method, the network's own
    under its id. ``limits`` are sentences. ``steps`` is what a diffusion model does best with. ``grid`` says where a
    network of sharpening expects the interpolated image: in its place, or half a panchromatic pixel further down and to
    the right, as the toolbox of the research code has it.
    """

    network: str
    form: Form
    normalisation: Normalisation
    ratio: tuple[float, float] = (0.0, 0.0)
    title: str = ""
    bands: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    licence: str = ""
    steps: int = 10
    parameters: int = 0
    grid: Literal["gis", "toolbox"] = "gis"
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The card as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """The card that a JSON text holds.

        Raises
        ------
        ValueError, TypeError, KeyError
            The text is no card.
        """
        plain = json.loads(text)
        if plain["schema"] != SCHEMA:
            raise ValueError(f"schema {plain['schema']}, and this version reads schema {SCHEMA}")
        if plain["network"] not in (*NETWORKS, *SHARPENING, *SCENE_TAUGHT):
            raise ValueError(f"the unknown network '{plain['network']}'")
        low, high = (float(value) for value in plain["ratio"])
        scaling = plain["normalisation"]
        return cls(**{
            **plain,
            "form": Form(**{**plain["form"], "gains": tuple(plain["form"].get("gains", ()))}),
            "normalisation": Normalisation(scaling["kind"], tuple(scaling["offset"]), tuple(scaling["scale"])),
            "ratio": (low, high),
            "bands": tuple(plain["bands"]),
            "limits": tuple(plain["limits"]),
        })


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: its card, and the values of the network by name."""

    path: Path
    card: Card
    state: Mapping[str, Tensor]

    def build(self) -> Network:
        """The network with these values, ready to predict.

        Raises
        ------
        UserError
            The values do not belong to the network that the card names.
        """
        network = network_class(self.card.network)(self.card.form)
        fill(network, self.state, self.path)
        return network.eval()


def fill(network: Network, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a network the values of a checkpoint.

    Raises
    ------
    UserError
        A value is missing, is unknown, or has another shape.
    """
    own = network.net.state_dict()
    for name in [*own, *state]:
        if name not in state or name not in own:
            raise UserError(
                f"'{path}' {'lacks' if name in own else 'has'} '{name}', which a {network} "
                f"{'needs' if name in own else 'does not have'}; choose the network that the file was trained for."
            )
        if own[name].shape != state[name].shape:
            raise UserError(
                f"'{path}' has '{name}' with the shape {tuple(state[name].shape)} and a {network} has "
                f"{tuple(own[name].shape)} there; choose the network and the bands that the file was trained for."
            )
    network.net.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})


def save(path: Path, network: Network, card: Card, half: bool = False) -> None:
    """Write a checkpoint with the values of a network, and its card beside it; each file appears when it is whole.

    ``half`` stores real numbers in 16 bits, which halves the file.
    """
    state = {name: _stored(value, half) for name, value in network.net.state_dict().items()}
    whole = replace(card, parameters=parameter_count(network.net))
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(to_bytes(state, {_CARD: whole.to_json()}))
    os.replace(part, path)
    for suffix, text in ((".json", whole.to_json()), (".md", markdown(asdict(whole)))):
        beside = path.with_suffix(suffix)
        part = beside.with_name(f"{beside.name}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, beside)


def cleaned(value: Tensor) -> tuple[Tensor, int]:
    """Values with those next to 0 set to it, and how many these are; others than real numbers as they are."""
    if not value.is_floating_point():
        return value, 0
    magnitude = value.abs()
    # The bits tell 0 from the numbers that processors may be told to take for it.
    tiny = (magnitude < _TINY) & (magnitude.view(_BITS[value.itemsize]) != 0)
    return value.masked_fill(tiny, 0), int(tiny.count_nonzero())


def _stored(value: Tensor, half: bool) -> Tensor:
    value, _ = cleaned(value.detach().cpu().contiguous().clone())
    return value.half() if half and value.is_floating_point() else value


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    UserError
        The file is missing, is no checkpoint, or has no card that fits.
    """
    file = Path(path)
    try:
        # Opened by Python first, whose error says why a file cannot be read.
        with file.open("rb"), safe_open(file, framework="pt") as tensors:
            text = (tensors.metadata() or {}).get(_CARD)
            # Copied, so that nothing holds the file open.
            state = {name: tensors.get_tensor(name).clone() for name in tensors.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(
            f"The checkpoint '{file}' cannot be read ({error.strerror or error}); choose another."
        ) from error
    except SafetensorError as error:
        raise UserError(
            f"'{file}' is no whole safetensors file ({error}); choose another checkpoint, or bring a file of another "
            "program in with 'Import a network'."
        ) from error
    if text is None:
        raise UserError(
            f"'{file}' holds numbers but no model card that says what network they belong to; bring it in with 'Import "
            "a network'."
        )
    try:
        card = Card.from_json(text)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"The model card in '{file}' cannot be used ({type(error).__name__}: {error}); train or import the network "
            "again with this version."
        ) from error
    whole = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if any(not torch.isfinite(value).all() for value in whole.values() if value.is_floating_point()):
        raise UserError(f"'{file}' holds values that are not finite; choose another checkpoint, or train it again.")
    return Checkpoint(file, card, whole)
