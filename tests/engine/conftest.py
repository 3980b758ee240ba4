"""Engine tests run without QGIS, on the engine of this checkout; the makers of small rasters stand beside them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

CORE = str(Path(__file__).resolve().parents[2] / "core")
sys.path[:0] = [CORE, str(Path(__file__).parent)]
# For the engines that tests start as processes of their own.
os.environ["PYTHONPATH"] = CORE
# As the command line does, before numpy and torch are imported: threads would only wait for one another, or spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test is a timed test, on a loaded machine least of all.
settings.register_profile("stf", deadline=None, print_blob=True)
settings.load_profile("stf")


def pytest_runtest_teardown() -> None:
    """A job that runs a network sets values next to 0 to 0, in all of its process, which is that of the tests here."""
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
