"""Run the demo on every scene that is there, with both kinds of weights, and write ``docs/results.md``."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from rasterio.errors import NotGeoreferencedWarning

import demo
from scenes import ROOT, SCENES
from stfusion.errors import UserError

PAGE = ROOT / "docs" / "results.md"
HEAD = """# Results

Error of STARFM and of three baselines against the true image, made by `make results`. All scenes use the same rule for
the window (three coarse pixels) and the defaults otherwise. Reflectance, means over the bands: RMSE, and the structural
similarity SSIM. The smallest RMSE of a row is bold.

A method is worth its time where it beats all three baselines. The fine image plus the coarse difference is strong where
the change is abrupt (flood, fire): direct weights 1 / (S T D) prefer neighbours that changed little, and so damp a real
change; logarithmic weights do so less.

| Scene | STARFM | STARFM, logarithmic | Copy | Upsampled coarse | Fine + difference |
| --- | --- | --- | --- | --- | --- |
"""
COLUMNS = (("direct", "starfm"), ("logarithmic", "starfm"), ("direct", "copy"), ("direct", "upsampled_coarse"),
           ("direct", "fine_plus_difference"))


def row(title: str, found: dict[str, dict[str, Any]]) -> str:
    """The line of a scene, from the summaries of the runs with either kind of weights."""
    cells = [found[weights]["methods"][method] for weights, method in COLUMNS]
    best = min(cell["rmse"]["mean"] for cell in cells)
    texts = []
    for cell in cells:
        error = f"{cell['rmse']['mean']:.4f}"
        texts.append(f"{f'**{error}**' if cell['rmse']['mean'] == best else error} ({cell['ssim']['mean']:.3f})")
    return f"| {title} | {' | '.join(texts)} |\n"


def tally(scenes: list[dict[str, dict[str, Any]]]) -> str:
    """On how many scenes STARFM has the smaller error than each baseline, and logarithmic weights than direct ones."""

    def wins(better: tuple[str, str], worse: tuple[str, str]) -> str:
        errors = [[found[w]["methods"][m]["rmse"]["mean"] for w, m in (better, worse)] for found in scenes]
        return f"on {sum(a < b for a, b in errors)} of {len(errors)}"

    own = COLUMNS[0]
    against = ", ".join(f"{demo.TITLES[column[1]].lower()} {wins(own, column)}" for column in COLUMNS[2:])
    return f"\nSTARFM beats: {against} scenes. Logarithmic weights beat direct ones {wins(COLUMNS[1], own)}.\n"


def main() -> int:
    """Run and write; a scene whose data are not there ends the command, so that the page is never half a page."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    lines, scenes = [], []
    for name, scene in SCENES.items():
        out = ROOT / "demo" / "results"
        try:
            found = {
                weights: demo.demonstrate(name, out / weights, {"LOGARITHMIC": str(weights == "logarithmic").lower()})
                for weights in ("direct", "logarithmic")
            }
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return error.exit_code
        lines.append(row(scene.title, found))
        scenes.append(found)
    PAGE.write_text(HEAD + "".join(lines) + tally(scenes), encoding="utf-8")
    print(f"Wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
