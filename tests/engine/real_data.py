"""Where the real scenes are: the folder named by STF_DATA, else ``shared/data`` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("STF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def real_scene(name: str) -> Path:
    """The folder of a real scene; skips the test where it is not there."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real scene {name} is not in {DATA} (set STF_DATA)")
    return folder
