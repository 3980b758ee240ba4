"""What the declarations of the networks have in common."""

from __future__ import annotations

#: The ids of the fusion networks, in the order of their age.
NETWORKS = ("stfdcnn", "stfnet", "edcstfn", "gan_stfm", "stfgan", "swinstfm", "opgan", "sr3", "stfdiff")
