"""Compare all fusion methods on every scene and write ``docs/results.md``.

A scene that was compared by the same engine before is not compared again, so that the command can be stopped and
started anew. The reports, with maps and further metrics, lie in ``build/results``.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rasterio.errors import NotGeoreferencedWarning

from measure import fingerprint
from scenes import ROOT, SCENES, Files, Scene, prepare
from stfusion import job
from stfusion.errors import EnvironmentFault, StfError
from stfusion.protocol import TextReporter
from stfusion.run import run

PAGE = ROOT / "docs" / "results.md"
WORK = ROOT / "build" / "results"

HEAD = """# Results

Errors of all methods against the true image, made by `make results`, which anyone can run who has the data: one
`stfusion compare` for every scene. Methods run with their defaults. RMSE in reflectance (of the vegetation indices at
Bahia: in their own unit), means over the bands, and in brackets the structural similarity SSIM. The smallest RMSE of a
scene is bold.

A method is worth its time where it beats all three baselines: a copy of the fine image, the upsampled coarse image, and
the fine image plus the upsampled coarse difference. The last columns count on how many scenes it does, and give the
processor seconds that it took for all of them, its start included. Methods stand in the order of their errors relative
to the best baseline. How the time grows with the scene is in [benchmarks](benchmarks.md).

Networks are those that come with [weights](weights.md). These have learnt from salton, bouconne and bahia, with other
coarse images than here but at salton, and itoiz was their validation; corumba and boreas they had never seen.

"""
ONE = """## One pair

"""
TWO = """## Two pairs

Methods for one pair, and the baselines, get the pair that is nearer to the target date.

"""

#: Options that are worth a line of their own: title, method and setting.
VARIANTS = {
    "STARFM, direct weights": ("starfm", "starfm.logarithmic=false"),
    "STARFM, band by band": ("starfm", "starfm.joint=false"),
}

Found = dict[str, Any]


def compare(name: str, scene: Scene, methods: str = "", folder: Path = WORK) -> Found:
    """The numbers of the comparison of some methods on a scene; of all, and their variants, when none are named.

    Raises
    ------
    StfError
        The scene's data are not there, or the comparison failed.
    """
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    numbers, state = work / "numbers.json", f"{fingerprint()} {scene} {methods}"
    if numbers.exists():
        kept = json.loads(numbers.read_text(encoding="utf-8"))
        if kept["state"] == state:
            return dict(kept["found"])
    print(f"Scene: {scene.title}", flush=True)
    files = prepare(name, work)
    found = _run(name, _order(scene, files, work / "report", methods, ""))
    for title, (method, setting) in ({} if methods else VARIANTS).items():
        if method in found["methods"]:
            variant = _run(name, _order(scene, files, work / title, method, setting))["methods"][method]
            found["methods"][title] = {**variant, "title": title}
    numbers.write_text(json.dumps({"state": state, "found": found}), encoding="utf-8")
    return found


def _run(name: str, order: dict[str, Any]) -> Found:
    report = Path(order["outputs"]["output"])
    shutil.rmtree(report, ignore_errors=True)
    if run(job.parse(order), TextReporter()) != 0:
        raise EnvironmentFault(f"The scene '{name}' could not be compared; the lines above say why.")
    found: Found = json.loads((report / "results.json").read_text(encoding="utf-8"))
    return found


def _order(scene: Scene, files: Files, report: Path, method: str, setting: str) -> dict[str, Any]:
    """The job of a comparison: of all methods, or of one with a setting of its own."""
    inputs = {role: {"path": str(path)} for role, path in (*files.inputs.items(), ("reference", files.truth))}
    return {
        "operation": "compare", "method": "compare", "inputs": inputs, "outputs": {"output": str(report)},
        "options": {
            "unit": scene.unit, "ratio": scene.ratio, "methods": method, "options": setting,
        },
    }


def table(scenes: Sequence[str], found: dict[str, Found]) -> str:
    """Methods by scenes: errors, the best one bold, then how often a method beats all baselines and what it took."""
    heads = ["Method", *map(_place, scenes), "Beats all baselines", "CPU s"]
    lines = [heads, ["---", *("---:" for _ in heads[1:])]]
    ids = list(dict.fromkeys(method for name in scenes for method in _methods(found[name])))
    ids.sort(key=lambda method: _rank(method, [found[name] for name in scenes]))
    for method in ids:
        cells = [_cell(method, found[name]) for name in scenes]
        there = [found[name] for name in scenes if method in found[name]["methods"]]
        seconds = sum(each["methods"][method]["cpu_seconds"] for each in there)
        wins = "" if _is_baseline(method, there) else f"{sum(wins_over(method, f) for f in there)} of {len(there)}"
        lines.append([_title(method, [found[name] for name in scenes]), *cells, wins, f"{seconds:.1f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _place(scene: str) -> str:
    """The name of a scene without its number of pairs."""
    return scene.removesuffix("_one_pair").removesuffix("_two_pairs")


def _methods(found: Found) -> Iterable[str]:
    return (*found["methods"], *found["failed"])


def _title(method: str, scenes: Sequence[Found]) -> str:
    titles = {name: each["title"] for found in scenes for name, each in {**found["methods"], **found["failed"]}.items()}
    return str(titles[method])


def _is_baseline(method: str, scenes: Sequence[Found]) -> bool:
    return any(found["methods"][method]["baseline"] for found in scenes if method in found["methods"])


def _rank(method: str, scenes: Sequence[Found]) -> tuple[bool, float]:
    """Methods before baselines, each by the mean of the errors relative to the best baseline of the scene."""
    relative = [
        found["methods"][method]["rmse"]["mean"]
        / min(each["rmse"]["mean"] for each in found["methods"].values() if each["baseline"])
        for found in scenes if method in found["methods"]
    ]
    return _is_baseline(method, scenes), sum(relative) / len(relative) if relative else math.inf


def _cell(method: str, found: Found) -> str:
    if method not in found["methods"]:
        return "failed"
    scores = found["methods"][method]
    text = f"{scores['rmse']['mean']:.4f}"
    best = min(each["rmse"]["mean"] for each in found["methods"].values())
    return f"{f'**{text}**' if scores['rmse']['mean'] == best else text} ({scores['ssim']['mean']:.3f})"


def wins_over(method: str, found: Found) -> bool:
    """Whether a method has a smaller error than all baselines."""
    scores = found["methods"]
    return bool(all(
        scores[method]["rmse"]["mean"] < each["rmse"]["mean"] for each in scores.values() if each["baseline"]
    ))


def legend(scenes: Sequence[str], found: dict[str, Found]) -> str:
    """What the scenes are, how much of them was compared, and which methods failed there and why."""
    lines = []
    for name in scenes:
        scene, numbers = SCENES[name], found[name]
        rows, columns = numbers["shape"]
        lines.append(
            f"* {_place(name)}: {scene.title}; {columns} x {rows} x {len(numbers['bands'])}, ratio {scene.ratio}, "
            f"predicted for {numbers['date']} from {_days(numbers)}; {numbers['valid']:.1%} of the pixels compared.\n"
        )
        lines += [f"    * {each['title']} failed: {each['reason']}\n" for each in numbers["failed"].values()]
    return "".join(lines) + "\n"


def _days(found: Found) -> str:
    return " and ".join(str(found["inputs"][role]["date"]) for role in ("fine", "fine2") if role in found["inputs"])


def main() -> int:
    """Compare and write; a scene whose data are not there ends the command, so that the page is never half a page."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        found = {name: compare(name, scene) for name, scene in SCENES.items()}
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    parts = [HEAD]
    for title, pairs in ((ONE, 1), (TWO, 2)):
        scenes = [name for name, scene in SCENES.items() if len(scene.fine) == pairs]
        scenes.sort(key=lambda name: list(SCENES).index(_place(name)))
        parts += [title, table(scenes, found), legend(scenes, found)]
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")
    print(f"Wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
