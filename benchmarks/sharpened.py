"""``make sharpened``: pansharpen a real scene by every method, and write ``docs/pansharpening-results.md``.

The scene is reduced by Wald's protocol at its own ratio, so that the original multispectral image is the truth: the
whole of it for the classic methods, and the east of it, which they have never seen, for the networks that come with
weights. Reports lie in ``build/sharpened``.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rasterio.errors import NotGeoreferencedWarning

from momotombo import BICUBIC, SCENE, Part, expand, reduced, scores, sharpen
from scenes import ROOT, data_folder
from stfusion import registry
from stfusion.errors import StfError
from stfusion.networks._shared import SHARPENING, shipped

PAGE = ROOT / "docs" / "pansharpening-results.md"
WORK = ROOT / "build" / "sharpened"
#: What the networks are judged by: the default, and what the field takes for the measure of all.
RIVALS = ("gsa", "mtf_glp_fs")

HEAD = """# Results of pansharpening

Made by `make sharpened`, which anyone can run who has the data: a Landsat 8 scene of the volcano Momotombo (468 x 334
pixels of 30 m in six bands, panchromatic pixels of 15 m, some cloud), in reflectance. Both images are reduced by
[Wald's protocol](methods/wald_protocol.md) at the scene's own ratio of 2 and sharpened by every method with its
defaults, the sensor given where there is a choice; the original image is the truth. "Against bicubic" is by how much
the ERGAS differs from that of the image that is only interpolated. The panchromatic band sees green, red and a little
of blue; it says little of near and short-wave infrared, and the last column has the first three bands alone. The
smallest ERGAS are bold.

## Classic methods, on the whole scene

"""

NETWORKS_HEAD = """
## Networks that come with weights, on the east of the scene

These have learnt from the west of the scene (300 of its 468 columns) as `benchmarks/sharpening_weights.py` says, and
have never seen the east, which is measured here. A network comes with weights only when its ERGAS here is smaller than
that of GSA and of the default, MTF-GLP-FS.

"""

Scores = dict[str, dict[str, float]]


def measure(part: Part, methods: Sequence[str], **weights: Path) -> Scores:
    """The scores of interpolation and of methods on a part of the scene, by title; ``weights`` by the method's id."""
    given = reduced(WORK, part)
    expanded = WORK / part / "expanded.tif"
    expand(given, expanded)
    outputs = {BICUBIC: expanded}
    for name in methods:
        title = registry.methods()[name].title
        print(f"{part}: {title}", flush=True)
        outputs[title] = WORK / part / f"{name}.tif"
        sharpen(name, given, outputs[title], **({"weights": weights[name]} if name in weights else {}))
    return {title: scores(path, given["truth"]) for title, path in outputs.items()}


def table(found: Scores) -> str:
    """Methods by their ERGAS."""
    heads = ("Method", "ERGAS", "Against bicubic", "SAM, degrees", "Q2n", "SCC", "ERGAS, first three bands")
    lines = [heads, ("---", *("---:" for _ in heads[1:]))]
    bicubic = found[BICUBIC]["ergas"]
    best = {name: min(scores[name] for scores in found.values()) for name in ("ergas", "seen")}
    for title, each in sorted(found.items(), key=lambda item: item[1]["ergas"]):
        ergas, seen = (
            f"**{each[name]:.3f}**" if each[name] == best[name] else f"{each[name]:.3f}" for name in ("ergas", "seen")
        )
        lines.append((
            title, ergas, f"{each['ergas'] / bicubic - 1:+.1%}", f"{each['sam']:.3f}", f"{each['q2n']:.4f}",
            f"{each['scc']:.4f}", seen,
        ))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Sharpen, measure and write."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    if not (data_folder() / SCENE).is_dir():
        print(f"Error: the scene is not in {data_folder() / SCENE} (set STF_DATA)", file=sys.stderr)
        return 2
    shutil.rmtree(WORK, ignore_errors=True)
    classic = [method.id for method in registry.methods().values() if method.group == "Pansharpening"]
    try:
        text = HEAD + table(measure("whole", classic))
        networks = [name for name in SHARPENING if shipped(name)]
        text += NETWORKS_HEAD + table(measure("east", [*RIVALS, *networks]))
    except StfError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    PAGE.write_text(text, encoding="utf-8")
    print(f"\n{text}\nWrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
