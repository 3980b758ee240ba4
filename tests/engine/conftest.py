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
# As the command line does, before numpy is imported: the threads of the linear algebra would only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No test is a timed test, on a loaded machine least of all.
settings.register_profile("stf", deadline=None, print_blob=True)
settings.load_profile("stf")
