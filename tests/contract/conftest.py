"""What the tests of the contract between plugin and engine share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Engine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Run the engine as the plugin does: ``engine("run", "job.json", "--json")``, in an empty folder."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stfusion", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )

    return start
