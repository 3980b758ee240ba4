"""``make bench``: what our methods cost beside the peers that a package manager can install, and how the cost grows.

Every figure is of a whole process: its start, reading and writing included. Runs that are compared take turns. The rows
are kept in ``build/bench/bench.json`` as soon as they are known, so that parts can be measured one after the other;
``docs/benchmarks.md`` and ``docs/pansharpening-benchmarks.md`` are written from all rows that are there. Rows of
another state of the engine are dropped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import card
import classification
import growth
import limits
import page
import pansharpening
from cases import SIZES, case, error, inputs
from measure import ROOT, Cost, FailedError, engine, fingerprint, median
from peers import PEERS, Peer
from stfusion import registry
from stfusion.declaration import Method

FOLDER = ROOT / "build" / "bench"
PARTS = ("methods", "peers", "growth", "limits", "classification", "pansharpening", "card")

Row = dict[str, Any]


class Store:
    """The measured rows by part and name, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._state = path, fingerprint()
        self.rows: dict[str, dict[str, Row]] = {}
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept.get("state") == self._state:
                self.rows = kept["rows"]

    def keep(self, part: str, name: str, row: Row) -> None:
        """Add a row, or replace the one of this name."""
        self.rows.setdefault(part, {})[name] = row
        text = json.dumps({"state": self._state, "rows": self.rows}, indent=2)
        self._path.write_text(f"{text}\n", encoding="utf-8")
        values = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print(f"{part} | {name}: {values}", flush=True)


def fuse(method: Method, path: Path, output: Path, pairs: int, *flags: object) -> Cost:
    """Run one of our methods on a case."""
    return engine("fuse", method.id, *inputs(method, path, pairs), "--out", output, *flags)


def variants(method: Method) -> list[int]:
    """With how many pairs a method can run."""
    second = [role.required for role in method.roles if role.id == "fine2"]
    if not second:
        return [1]
    return [2] if second[0] else [1, 2]


def measure_methods(methods: list[Method], sizes: list[int], repeats: int) -> Iterator[tuple[str, Row]]:
    """Every method on one thread and on two, in turn."""
    output = FOLDER / "fused.tif"
    for size in sizes:
        path = case(size)
        for method in methods:
            for pairs in variants(method):
                row: Row = {"method": method.id, "pairs": pairs, "size": size}
                try:
                    row |= _one_and_two_threads(method, path, output, pairs, repeats)
                except FailedError as why:
                    row |= {"failed": str(why)}
                yield f"{method.id}, {pairs} pair(s), {size}", row


def _one_and_two_threads(method: Method, path: Path, output: Path, pairs: int, repeats: int) -> Row:
    # The first run compiles the kernels into numba's cache.
    fuse(method, path, output, pairs)
    runs = [[fuse(method, path, output, pairs, "--threads", n) for n in (1, 2)] for _ in range(repeats)]
    one, two = (median([turn[k] for turn in runs]) for k in (0, 1))
    return {
        **asdict(one), "rmse": error(output, path),
        "two_threads": asdict(two),
        "speed_up": statistics.median(a.wall_s / b.wall_s for a, b in runs),
        "speed_up_of_fusing": statistics.median(a.fusing_s / b.fusing_s for a, b in runs),
    }


def measure_peers(methods: list[Method], python: str, repeats: int) -> Iterator[tuple[str, Row]]:
    """Ours and every peer on the same case, in turn, each on one thread."""
    offered = {method.id: method for method in methods}
    for peer in PEERS:
        if peer.method not in offered:
            continue
        row: Row = {"peer": peer.name, "method": peer.method, "size": peer.size, "remark": peer.remark}
        try:
            row |= _in_turn(offered[peer.method], peer, python, repeats)
        except FailedError as why:
            row |= {"failed": str(why)}
        yield f"{peer.method} | {peer.name}", row


def _in_turn(method: Method, peer: Peer, python: str, repeats: int) -> Row:
    interpreter, path = peer.install(python), case(peer.size)
    mine, theirs = FOLDER / "fused.tif", FOLDER / "peer.tif"
    flags = ("--threads", 1, *peer.options)
    fuse(method, path, mine, peer.pairs, *flags)
    runs = [(fuse(method, path, mine, peer.pairs, *flags), peer.run(interpreter, path, theirs)) for _ in range(repeats)]
    return {
        "ours": {**asdict(median([ours for ours, _ in runs])), "rmse": error(mine, path)},
        "theirs": {**asdict(median([their for _, their in runs])), "rmse": error(theirs, path)},
        "ratio": statistics.median(their.cpu_s / ours.cpu_s for ours, their in runs),
    }


def main() -> None:
    """Measure, print, keep and write the page."""
    fusing = [method for method in registry.methods().values() if method.operation == "fuse"]
    names = [method.id for method in fusing]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500], help="cases of the part 'methods'")
    parser.add_argument("--growth-sizes", type=int, nargs="+", default=SIZES, help="cases of the part 'growth'")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--card-sizes", type=int, nargs=2, default=(10_000, 500), metavar=("LARGE", "SMALL"),
                        help="scenes of the part 'card': what is timed, and what results are compared on")
    parser.add_argument("--memory", type=int, default=1024, help="limit of the large scene in MB")
    parser.add_argument("--pan-size", type=int, default=pansharpening.LARGE,
                        help="scene that every method of the part 'pansharpening' sharpens under the memory limit")
    parser.add_argument("--python", default="/usr/bin/python3", help="the Python that peers are installed on")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    methods = [method for method in fusing if method.id in options.methods]
    parts = {
        "methods": lambda: measure_methods(methods, options.sizes, options.repeats),
        "peers": lambda: measure_peers(methods, options.python, options.repeats),
        "growth": lambda: growth.measure(methods, options.growth_sizes),
        "limits": lambda: limits.measure(FOLDER, options.memory, options.repeats),
        "classification": lambda: classification.measure(FOLDER, options.repeats),
        "pansharpening": lambda: pansharpening.measure(
            FOLDER, options.memory, options.repeats, options.pan_size
        ),
        "card": lambda: card.measure(FOLDER, methods, *options.card_sizes),
    }
    store = Store(FOLDER / "bench.json")
    for part in options.parts:
        for name, row in parts[part]():
            store.keep(part, name, row)
    text = page.write(store.rows)
    print(f"\n{text}")


if __name__ == "__main__":
    main()
