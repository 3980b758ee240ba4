"""Reading checkpoints of public codes: only their numbers, whatever else the file holds."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from stfusion import __version__
from stfusion.errors import UserError
from stfusion.folder import missing_folder
from stfusion.networks._checkpoint import Card, cleaned, fill, save
from stfusion.networks._network import Form, FusionNetwork, Network, network_class
from stfusion.networks._normalisation import Normalisation
from stfusion.run import Context

#: Numbers of bands that are tried, the usual ones first.
_BANDS = (6, 4, 3, 1, 7, 2, 5, *range(8, 17))
#: What wraps the names of a network's values: a data-parallel wrapper, a trainer's attribute, an average's copy.
_PREFIXES = r"^(?:module\.|_orig_mod\.|ema_model\.|online_model\.|model\.|generator\.|net\.)+"
#: Entries of a file in which the values lie, the better first; the average is what public code predicts with.
_ENTRIES = ("ema", "state_dict", "model", "params", "generator")


def run(context: Context) -> dict[str, Any]:
    """Import a checkpoint.

    Raises
    ------
    UserError
        The file cannot be read, holds something besides numbers, or does not fit the network.
    """
    path, output = Path(context.job.inputs["file"].path), Path(context.job.outputs["output"])
    options = context.options
    context.reporter.stage("Reading the checkpoint", 1, 1)
    state = read(path)
    ratio = float(options["ratio"])
    network = recognise(str(options["network"]), state, path, int(ratio))
    unit, count = float(options["unit"]), network.scaled_bands
    if not isinstance(network, FusionNetwork):
        ratio = ratio or network.form.ratio
    half = unit / 2
    card = Card(
        network=network.id,
        form=network.form,
        normalisation=Normalisation("stored", (half if network.symmetric else 0.0,) * count,
                                    (half if network.symmetric else unit,) * count),
        ratio=(ratio, ratio),
        title=f"{path.name}, imported",
        bands=tuple(name.strip() for name in str(options["bands"]).split(",") if name.strip()),
        training={"Imported from": path.name, "Engine": f"stfusion {__version__}"},
        limits=("What it was trained on and how well it does is for the file's authors to say.",),
        grid="toolbox" if options["grid"] == "toolbox" else "gis",
    )
    if not output.absolute().parent.is_dir():
        raise missing_folder(output)
    try:
        save(output, network, card)
    except OSError as error:
        raise UserError(f"'{output}' cannot be written ({error.strerror}); choose another folder.") from error
    context.reporter.log(f"'{path.name}' is a {network}.")
    tiny = sum(cleaned(value)[1] for value in state.values())
    if tiny:
        context.reporter.log(f"{tiny} values of '{path.name}' were so small that they were set to 0.")
    return {"output": str(output)}


def read(path: Path) -> dict[str, Tensor]:
    """The values of a checkpoint by name, without the prefixes that training adds.

    Raises
    ------
    UserError
        The file cannot be read, or holds something besides numbers.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # What torch has to say about a file is said in the sentence with which it is refused.
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                plain: Any = load_file(path)
            else:
                # Only numbers: a file that would execute something is refused before it does.
                plain = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"The checkpoint '{path}' cannot be read ({error.strerror}); choose another.") from error
    except Exception as error:
        # Of a file that is no checkpoint, both readers raise whatever its bytes lead them to.
        raise UserError(
            f"'{path}' is no checkpoint that holds numbers alone ({_first(error)}); nothing in it was executed; choose "
            "another file."
        ) from error
    state = _values(plain)
    if not state:
        raise UserError(f"'{path}' holds no values of a network; choose another file.")
    return {re.sub(_PREFIXES, "", name): value for name, value in state.items()}


def _first(error: Exception) -> str:
    """The first sentence of an error, since torch says very much."""
    return re.split(r"[.\n]", str(error).strip(), maxsplit=1)[0] or type(error).__name__


def _values(plain: Any) -> dict[str, Tensor]:
    """The numbers of a file: its own, or those of the best entry that has some."""
    if not isinstance(plain, Mapping):
        return {}
    own = {str(name): value for name, value in plain.items() if isinstance(value, Tensor)}
    entries = (_values(plain.get(entry)) for entry in _ENTRIES)
    return next(filter(None, entries), own)


def recognise(name: str, state: Mapping[str, Tensor], path: Path, ratio: int = 0) -> Network:
    """The network that some values belong to, with these values; its form is found by trying.

    A ``ratio`` other than 0 is that of a network of sharpening, whose values do not always say it.

    Raises
    ------
    UserError
        None fits, the sentence says where the one that is nearest differs; or values that are in the file twice are
        not the same.
    """
    missed: dict[Form, int] = {}
    _refuse_unlike(network_class(name), state, path)
    for form in (form for bands in _BANDS for form in network_class(name).forms(bands)):
        if ratio and form.ratio not in (0, ratio):
            continue
        with torch.device("meta"):
            expected = network_class(name)(form).net.state_dict()
        missed[form] = sum(key not in state or state[key].shape != value.shape for key, value in expected.items())
        if not missed[form]:
            break
    nearest = network_class(name)(min(missed, key=missed.__getitem__))
    own = nearest.net.state_dict()
    fill(nearest, {key: value for key, value in state.items() if key in own}, path)
    return nearest


def _refuse_unlike(kind: type[Network], state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse values that a file has under two names if they are not the same."""
    for begin, own in kind.duplicates.items():
        for name in (name for name in state if name.startswith(begin)):
            other = name.replace(begin, own, 1)
            if other in state and not torch.equal(state[name], state[other]):
                raise UserError(
                    f"'{path}' has '{name}' and '{other}', which are the same values in a network '{kind.id}' and are "
                    "not the same here; the file is damaged, choose another."
                )
