"""What the declarations of the networks have in common."""

from __future__ import annotations

from pathlib import Path

#: The ids of the fusion networks, in the order of their age.
NETWORKS = ("stfdcnn", "stfnet", "edcstfn", "gan_stfm", "stfgan", "swinstfm", "opgan", "sr3", "stfdiff")

#: Where the weights that come with the engine lie, each under the id of its network.
WEIGHTS = Path(__file__).parent / "weights"


def shipped(network: str) -> Path | None:
    """The checkpoint of a network that comes with the engine; none for a network that is offered for training only."""
    path = WEIGHTS / f"{network}.safetensors"
    return path if path.exists() else None
