"""Runs every suite of tests, each with the Python it is for, and sums up what came of them.

Ends with the line "N passed, N failed[, N skipped]". A suite that crashes, or that has no tests, counts as failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = (".venv/bin/python",)
QGIS = (".venv-qgis/bin/python",)
SCREEN = ("xvfb-run", "--auto-servernum", "--server-args=-screen 0 1600x1000x24")


@dataclass(frozen=True)
class Suite:
    """A folder of tests and the command that starts its Python; ``offscreen`` when it draws no window."""

    name: str
    python: tuple[str, ...]
    offscreen: bool = True

    def run(self, arguments: list[str]) -> Counts:
        """Run the suite and count its tests."""
        report = ROOT / "build" / "tests" / f"{self.name}.xml"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        print(f"\n=== {self.name} ===", flush=True)
        with tempfile.TemporaryDirectory(prefix="stf-tests-") as home:
            code = subprocess.run(
                [*self.python, "-m", "pytest", f"tests/{self.name}", f"--junitxml={report}", *arguments],
                cwd=ROOT, env=self._environment(home), check=False,
            ).returncode
        counts = Counts.read(report)
        if code and not counts.failed:
            print(f"The suite '{self.name}' ended with code {code}.", flush=True)
            counts = Counts(counts.passed, 1, counts.skipped)
        return counts

    def _environment(self, home: str) -> dict[str, str]:
        """A profile of its own, so that no test touches the user's QGIS."""
        environment = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": home, "XDG_RUNTIME_DIR": home}
        if self.python == ENGINE:
            environment["PYTHONPATH"] = str(ROOT / "core")
        if self.offscreen:
            environment["QT_QPA_PLATFORM"] = "offscreen"
        return environment


@dataclass(frozen=True)
class Counts:
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @staticmethod
    def read(report: Path) -> Counts:
        """The counts of a JUnit report; none when there is no report."""
        if not report.exists():
            return Counts()
        suites = ET.parse(report).getroot().iter("testsuite")
        totals = [[int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites]
        tests, failures, errors, skipped = (sum(column) for column in zip(*totals, strict=True))
        return Counts(tests - failures - errors - skipped, failures + errors, skipped)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


SUITES = (
    Suite("engine", ENGINE),
    Suite("contract", ENGINE),
    Suite("plugin", QGIS),
    Suite("window", (*SCREEN, *QGIS), offscreen=False),
)


def main() -> int:
    """Run the suites named on the command line, or all; further arguments go to pytest."""
    names = [name for name in sys.argv[1:] if not name.startswith("-")]
    options = [option for option in sys.argv[1:] if option.startswith("-")]
    total = Counts()
    for suite in SUITES:
        if not names or suite.name in names:
            total += suite.run(options)
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"\n{total.passed} passed, {total.failed} failed{skipped}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
