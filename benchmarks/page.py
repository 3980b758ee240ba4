"""The tables of the benchmarks as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import ROOT
from stfusion import environment, registry

PAGE = ROOT / "docs" / "benchmarks.md"
SHARPENING_PAGE = ROOT / "docs" / "pansharpening-benchmarks.md"

Row = Mapping[str, Any]
Rows = Mapping[str, Row]

HEAD = """# Benchmarks

Made by `make bench`, which anyone can run; it needs no data. Scenes are simulated by `benchmarks/cases.py`: 6 bands,
16-bit integers, a coarse sensor of 16 times the pixel size, three dates, always the same for the same seed. Every
figure is of a whole process, its start, reading and writing included; the kernels were compiled before. What is
compared took turns in one run, and medians are given. RMSE is in reflectance, mean of the bands, against the true image
of the second date. How methods compare on real scenes is in [results](results.md).

"""
METHODS = """## Methods

Defaults of each method. The speed-up is that of two threads against one: of the whole process, whose start and
statistics are serial, and of the tiles alone.

"""
PEERS = """## Beside programs that a package manager installs

Both on the same case, one thread each; the ratio is that of processor seconds. The case is one that the peer does in
bearable time: on such a small one most of our time is the start of Python, so that the ratio grows with the scene.

"""
NO_PEER = """These are all that we found: no other package of pip or apt fuses images of two sensors and dates. For
FSDAF, unmixing and sparse representation there is none at all. STARS of ECOSTRESS needs Julia and downloads its images;
R's ImageFusion is in neither, and an R package that it needs is retired.

"""
DOCUMENTED = """### Programs that have to be built from source

Not part of the run: their processor seconds were taken once, on one thread, on a machine with two cores (Xeon, 2.8 GHz;
other work moved such times by 30 %), on another simulated scene of the same kind, 500 x 500 x 6, ratio 16, window 51.
Ours are those of the table above for the scene of that size, so the ratio is a rough one.

"""
GROWTH = """## How the cost grows

One run on one thread each; processor seconds. In brackets: nanoseconds per pixel and band.

"""
MEMORY = """### Memory

Default limit of 2048 MB, one thread. "In flight" is a pixel of the tile that is computed, its margin included: the
bytes per band that the method counts, by which it chooses its tiles, and those measured, which are the growth of the
peak from tiles of 256 pixels a side to tiles of 1024, finished tiles that wait to be written included. The peaks are
those of the whole process, with caches that grow as far as the limit allows; in brackets, bytes per pixel and band of
the whole scene. These fall with the size, since tiles bound the memory; the public C++ program takes about 40.

"""

CLASSIFICATION = """## Classification and assessment

Both on the same files, one thread each where nothing else is said. "Work" is the large case less a tiny one, that is
without the start of the program; the ratios are theirs by ours. Both results are the same, or ours is as good: the
within-class sum of squares of K-means is at most a hundredth above that of the script, `benchmarks/peer_kmeans.py`.

"""

SHARPENING = """# Benchmarks of pansharpening

Made by `make bench BENCH="--parts pansharpening"`, which anyone can run; it needs no data. The images are simulated by
`benchmarks/pansharpening.py`, always the same, and what is compared took turns in one run; medians are given. Orfeo
ToolBox is taken where its programs are on the path. How good the results are is in [results](pansharpening-results.md).

On the same files, four bands in 16 bits at a ratio of 4; "Scene" is the panchromatic image. Both write GeoTIFF without
compression (`--layout tiled` here), on one thread each where nothing else is said. "Work" is the large case less a tiny
one, that is without the start of the program; the ratios are theirs by ours. All values agree to 1: Orfeo ToolBox cuts
fractions off, and GDAL rounds a half of what it interpolates to the other side here and there, which makes 2 of some
(less than one value in a million).

"""

#: Peers that only their authors' sources give: method, program, processor seconds, peak MB.
FROM_SOURCE = (
    ("starfm", 1, "ImageFusion (C++)", 34.4, 92),
    ("starfm", 1, "cuSTARFM's loop, run on the CPU", 17.7, 71),
    ("starfm", 2, "ImageFusion (C++)", 86.0, 110),
    ("estarfm", 2, "ImageFusion (C++)", 22.5, 111),
    ("estarfm", 2, "cuESTARFM's loop, run on the CPU", 20.9, 220),
    ("fit_fc", 1, "ImageFusion (C++)", 12.0, 94),
    ("fsdaf", 1, "cuFSDAF's loop, run on the CPU, without its classification", 11.0, 232),
    ("fsdaf", 1, "FSDAF in Python, 496 x 496", 63.0, 5757),
    ("ubdf", 1, "UBDF in Python, 496 x 496", 1.5, 133),
    ("obsum", 1, "OBSUM in Python, 496 x 496", 35.0, 218),
)


def write(rows: Mapping[str, Rows]) -> str:
    """Write the pages of which there are rows, by part and name, and return them."""
    methods, growth = rows.get("methods", {}), list(rows.get("growth", {}).values())
    parts = []
    if methods:
        parts += [METHODS, _methods(methods.values())]
    if "peers" in rows:
        parts += [PEERS, _peers(rows["peers"].values()), NO_PEER]
    if methods:
        parts += [DOCUMENTED, _documented(methods.values())]
    if growth:
        parts += [GROWTH, *_growth(growth), MEMORY, _memory(growth)]
    if "limits" in rows:
        parts += [_limits(rows["limits"])]
    if "classification" in rows:
        parts += [CLASSIFICATION, _classification(rows["classification"].values())]
    if "card" in rows:
        parts += [_card(list(rows["card"].values()))]
    sharpening = _sharpening(list(rows["pansharpening"].values())) if "pansharpening" in rows else ()
    return _page(PAGE, HEAD, parts) + _page(SHARPENING_PAGE, SHARPENING, sharpening)


def _page(path: Path, head: str, parts: Iterable[str]) -> str:
    """Write a page with something below its head, and return it."""
    below = "".join(parts)
    if not below:
        return ""
    text = f"{head}{_machine()}{below}".rstrip() + "\n"
    path.write_text(text, encoding="utf-8")
    return text


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = environment.packages()["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("numpy", "numba") if name in packages)
    return f"Machine: {names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python " \
           f"{platform.python_version()}, {versions}.\n\n"


def _title(method: str) -> str:
    found = registry.methods().get(method)
    return found.title if found else method


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table whose first columns hold ``words``; the others hold figures and are aligned to the right."""
    rule = ["---" if column < words else "---:" for column in range(len(heads))]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines)) + "\n"


def _methods(rows: Iterable[Row]) -> str:
    heads = ("Method", "Pairs", "Scene", "RMSE", "CPU s", "Wall s", "Wall s, two threads", "Speed-up",
             "Speed-up of the tiles", "Peak MB")
    lines = []
    for row in sorted(rows, key=lambda row: row["size"]):
        about = (_title(row["method"]), str(row["pairs"]), f"{row['size']}²")
        if "failed" in row:
            lines.append((*about, f"failed: {row['failed']}", *("",) * 6))
            continue
        lines.append((
            *about, f"{row['rmse']:.4f}", f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}",
            f"{row['two_threads']['wall_s']:.2f}", f"{row['speed_up']:.2f}", f"{row['speed_up_of_fusing']:.2f}",
            f"{row['peak_mb']:.0f}",
        ))
    return _table(heads, lines)


def _peers(rows: Iterable[Row]) -> str:
    heads = ("Method", "Peer", "Scene", "CPU s: ours", "theirs", "Ratio", "Peak MB: ours", "theirs", "RMSE: ours",
             "theirs")
    lines: list[Sequence[str]] = []
    for row in rows:
        about = (_title(row["method"]), f"{row['peer']}; {row['remark']}", f"{row['size']}²")
        if "failed" in row:
            lines.append((*about, f"absent: {row['failed']}", *("",) * 6))
            continue
        both = (row["ours"], row["theirs"])
        cells = [[format(each[key], form) for each in both]
                 for key, form in (("cpu_s", ".2f"), ("peak_mb", ".0f"), ("rmse", ".4f"))]
        lines.append((*about, *cells[0], f"{row['ratio']:.1f}", *cells[1], *cells[2]))
    return _table(heads, lines, words=2)


def _documented(rows: Iterable[Row]) -> str:
    ours = {(row["method"], row["pairs"]): row for row in rows if row["size"] == 500 and "failed" not in row}
    lines = [
        (_title(method), str(pairs), peer, f"{ours[method, pairs]['cpu_s']:.2f}", f"{seconds:.1f}",
         f"{seconds / ours[method, pairs]['cpu_s']:.0f}", f"{ours[method, pairs]['peak_mb']:.0f}", str(peak))
        for method, pairs, peer, seconds, peak in FROM_SOURCE if (method, pairs) in ours
    ]
    heads = ("Method", "Pairs", "Program", "CPU s: ours", "theirs", "Ratio", "Peak MB: ours", "theirs")
    return _table(heads, lines, words=3)


def _growth(rows: Sequence[Row]) -> list[str]:
    """A table for everything that grows: methods by values."""

    def cell(row: Row) -> str:
        if "failed" in row:
            return "failed"
        return f"{row['cpu_s']:.2f} ({row['cpu_s'] / (row['size'] ** 2 * row['bands']) * 1e9:.0f})"

    titles = {
        "size": "### Size (pixels along a side)\n\n",
        "window": "### Window (500 x 500 x 6; single digits are coarse pixels)\n\n",
        "bands": "### Bands (500 x 500)\n\n",
    }
    return [title + _by_value(rows, what, cell) for what, title in titles.items()]


def _by_value(rows: Sequence[Row], what: str, cell: Callable[[Row], str]) -> str:
    chosen = [row for row in rows if row["what"] == what]
    values = sorted({row["value"] for row in chosen})
    cells = {(row["method"], row["value"]): cell(row) for row in chosen}
    lines = [
        (_title(method), *(cells.get((method, value), "") for value in values))
        for method in dict.fromkeys(row["method"] for row in chosen)
    ]
    failed = (f"{_title(row['method'])}, {row['value']}: {row['failed']}\n\n" for row in chosen if "failed" in row)
    return _table(("Method", *map(str, values)), lines) + "".join(failed)


def _memory(rows: Sequence[Row]) -> str:
    done = [row for row in rows if "failed" not in row]
    sizes = sorted({row["value"] for row in done if row["what"] == "size"})
    lines = []
    for method in dict.fromkeys(row["method"] for row in done):
        own = [row for row in done if row["method"] == method]
        whole = {row["value"]: row for row in own if row["what"] == "size"}
        tiles = sorted((row for row in own if row["what"] == "tile"), key=lambda row: row["tile_pixels"])
        if not whole or len(tiles) < 2:
            continue
        grown = tiles[-1]["tile_pixels"] - tiles[0]["tile_pixels"]
        measured = (tiles[-1]["fusing_mb"] - tiles[0]["fusing_mb"]) * 2**20 / (grown * tiles[0]["bands"])
        lines.append((
            _title(method), f"{tiles[0]['pixel_bytes'] / tiles[0]['bands']:.1f}", f"{measured:.1f}",
            *(_peak(whole[size]) if size in whole else "" for size in sizes),
        ))
    return _table(("Method", "In flight: counted", "measured", *(f"Peak MB, {size}²" for size in sizes)), lines)


def _peak(row: Row) -> str:
    return f"{row['peak_mb']:.0f} ({row['peak_mb'] * 2**20 / (row['size'] ** 2 * row['bands']):.0f})"


def _limits(rows: Rows) -> str:
    lines = []
    for name, row in rows.items():
        facts = [f"{row['wall_s']:.2f} s"]
        if "peak_mb" in row:
            facts += [f"{row['cpu_s']:.2f} CPU s", f"peak {row['peak_mb']:.0f} MB"]
        if "below_the_limit" in row:
            facts.append("below the limit" if row["below_the_limit"] else "above the limit")
            facts.append(f"the result with other tiles is {'the same' if row['same_with_other_tiles'] else 'another'}")
        if "files_left" in row:
            facts.append(f"files left: {', '.join(row['files_left']) or 'none'}")
        lines.append(f"* {name}: {', '.join(facts)}.\n")
    return "## Overhead, cancel and large scenes\n\n" + "".join(lines) + "\n"


def _classification(rows: Iterable[Row]) -> str:
    heads = ("Task", "Peer", "Scene", "CPU s: ours", "theirs", "Ratio", "Work, CPU s: ours", "theirs", "Ratio",
             "Ratio of wall s", "Peak MB: ours", "theirs")
    lines = []
    for row in rows:
        about = (row["title"], row["peer"], f"{row['size']}²")
        if "failed" in row:
            lines.append((*about, f"absent: {row['failed']}", *("",) * 8))
            continue
        both = [(row[whole], row[start]) for whole, start in (("ours", "our_start"), ("theirs", "their_start"))]
        lines.append((
            *about,
            *(f"{whole['cpu_s']:.2f}" for whole, _ in both), f"{row['whole_ratio']:.1f}",
            *(f"{whole['cpu_s'] - start['cpu_s']:.2f}" for whole, start in both),
            f"{row['cpu_ratio']:.1f}", f"{row['wall_ratio']:.1f}",
            *(f"{whole['peak_mb']:.0f}" for whole, _ in both),
        ))
    return _table(heads, lines, words=2)


def _sharpening(rows: Sequence[Row]) -> Iterable[str]:
    yield _classification(row for row in rows if "peer" in row)
    memory = [row for row in rows if "limit" in row]
    if memory:
        yield f"Every classic method on all threads, within {memory[0]['limit']} MB:\n\n"
        yield _table(("Method", "Scene", "Peak MB", "CPU s", "Wall s"), [
            (_title(row["method"]), f"{row['size']}²", f"{row['peak_mb']:.0f}{'' if row['below'] else ' (above)'}",
             f"{row['cpu_s']:.1f}", f"{row['wall_s']:.1f}")
            for row in memory
        ])


def _card(rows: Sequence[Row]) -> str:
    heads = ("Method", "Pairs", "Scene", "Processor s", "Card s", "Ratio", "Largest difference", "Beyond 1e-4")
    lines = []
    for row in rows:
        about = (_title(row["method"]), str(row["pairs"]), f"{row['size']}²")
        if "failed" in row:
            lines.append((*about, f"failed: {row['failed']}", *("",) * 4))
            continue
        lines.append((
            *about, f"{row['processor_s']:.1f}", f"{row['card_s']:.1f}", f"{row['processor_s'] / row['card_s']:.1f}",
            f"{row['largest_difference']:.1e}", f"{row['beyond']:.1e}",
        ))
    words = f"Wall seconds on all threads of the processor and on {rows[0]['card']}, the compilation for the card " \
            f"included. Differences are parts of the processor's values, on a scene of {rows[0]['small']}².\n\n"
    return f"## On a CUDA card\n\n{words}" + _table(heads, lines)
