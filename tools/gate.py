"""The gate of the QGIS plugin repository, for the zip that would be sent there, plus what this project asks of itself.

Looks into the zip's contents (forbidden files, size), metadata.txt (required entries, versions that agree), and runs
bandit with every rule, detect-secrets and flake8 over the unpacked plugin. One finding is too many.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path, PurePosixPath

import package

ROOT = package.ROOT
MAX_BYTES = 25 * 2**20
REQUIRED = (
    "name", "description", "about", "version", "author", "email", "qgisMinimumVersion", "qgisMaximumVersion",
    "homepage", "tracker", "repository", "tags", "category", "icon", "license", "hasProcessingProvider",
)
FORBIDDEN_SUFFIXES = {".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".whl", ".zip"}
FORBIDDEN_NAMES = {"__pycache__", "__MACOSX", "tests", "node_modules"}


def contents(archive: Path) -> Iterator[str]:
    """What is wrong with the zip's size and file names."""
    size = archive.stat().st_size
    if size > MAX_BYTES:
        yield f"{archive.name} has {size / 2**20:.1f} MiB; the repository takes {MAX_BYTES / 2**20:.0f} MiB."
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
    for name in names:
        path = PurePosixPath(name)
        hidden = any(part.startswith(".") for part in path.parts)
        if hidden or path.suffix in FORBIDDEN_SUFFIXES or FORBIDDEN_NAMES & set(path.parts) or "\\" in name:
            yield f"{name} does not belong into the zip."
        if path.parts[0] != package.NAME:
            yield f"{name} lies outside the folder {package.NAME}."
    for needed in ("LICENSE", "metadata.txt", "__init__.py", "core/stfusion/__init__.py", "resources/methods.json"):
        if f"{package.NAME}/{needed}" not in names:
            yield f"{needed} is missing from the zip."


def metadata(plugin: Path) -> Iterator[str]:
    """What is wrong with metadata.txt."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(plugin / "metadata.txt", encoding="utf-8")
    general = parser["general"]
    yield from (f"metadata.txt lacks '{key}'." for key in REQUIRED if not general.get(key, "").strip())
    if not re.fullmatch(r"\d+\.\d+\.\d+", general.get("version", "")):
        yield f"metadata.txt: the version '{general.get('version')}' is not of the form X.Y.Z."
    if not (plugin / general.get("icon", "")).is_file():
        yield f"metadata.txt: the icon '{general.get('icon')}' does not exist."
    if general.get("hasProcessingProvider") != "yes":
        yield "metadata.txt: hasProcessingProvider has to be 'yes', or qgis_process does not see the provider."
    if "plugin" in general.get("name", "").lower():
        yield "metadata.txt: the repository refuses names with the word 'plugin'."
    if "supportsQt6" in general:
        yield "metadata.txt: supportsQt6 is no longer known; qgisMaximumVersion says it."
    for key in ("homepage", "tracker", "repository"):
        if not re.match(r"https://\S+\.\S+", general.get(key, "")):
            yield f"metadata.txt: '{key}' has to be an https address."


def versions() -> Iterator[str]:
    """What is wrong with the version: it has to be the same in the three places that say it."""
    found = {
        "metadata.txt": package.version(),
        "core/stfusion/__init__.py": _first(r'__version__ = "([^"]+)"', "core/stfusion/__init__.py"),
        "CHANGELOG.md": _first(r"(?m)^## \[(\d[^\]]*)\]", "CHANGELOG.md"),
    }
    if len(set(found.values())) > 1:
        yield "The versions differ: " + ", ".join(f"{version} in {place}" for place, version in found.items()) + "."


def _first(pattern: str, file: str) -> str:
    match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"))
    return match.group(1) if match else "none"


def secrets(plugin: Path) -> Iterator[str]:
    """What detect-secrets takes for a secret."""
    scan = subprocess.run(
        [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "."],
        cwd=plugin, check=True, capture_output=True, text=True,
    )
    for file, hits in json.loads(scan.stdout)["results"].items():
        for hit in hits:
            yield f"{file}:{hit['line_number']}: detect-secrets: {hit['type']}."


def tool(plugin: Path, name: str, *arguments: str) -> Iterator[str]:
    """What a tool prints when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments, "."], cwd=plugin, check=False, capture_output=True, text=True
    )
    if done.returncode:
        yield f"{name}:\n{done.stdout}{done.stderr}"


def findings(archive: Path) -> Iterator[str]:
    """Everything that is wrong."""
    yield from versions()
    yield from contents(archive)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        plugin = Path(folder) / package.NAME
        yield from metadata(plugin)
        yield from secrets(plugin)
        yield from tool(plugin, "bandit", "--quiet", "--recursive")
        # The space before the colon of a slice (E203) is right, and the repository does not look at it.
        yield from tool(
            plugin, "flake8", "--isolated", "--max-line-length=120", "--max-complexity=12", "--extend-ignore=E203"
        )


def main() -> int:
    """Print the findings and return 1 when there are any."""
    found = list(findings(package.archive()))
    for finding in found:
        print(finding, file=sys.stderr)
    print(f"The plugin repository's gate: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
