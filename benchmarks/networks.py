"""What the networks cost: parameters, seconds and memory of a prediction, as a table in ``docs/networks.md``.

Every network is built at its published size for six bands and predicts one patch of 256 x 256 pixels (a diffusion
model: one step), three times, in a process of its own; the best time counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from scenes import ROOT
from stfusion import registry
from stfusion.cost import peak_memory_mb
from stfusion.networks._shared import NETWORKS

PAGE = ROOT / "docs" / "networks.md"
BEGIN, END = "<!-- written by benchmarks/networks.py -->", "<!-- end of the table -->"
SIDE, BANDS, TRIALS = 256, 6, 3


@dataclass(frozen=True)
class Found:
    """What was measured of a network; ``mb`` is what its prediction took beside the network itself."""

    parameters: int
    pairs: int
    wall_s: float
    cpu_s: float
    mb: float


def measure(name: str) -> Found:
    """Build a network and let it predict."""
    import torch

    from stfusion.networks._batch import FusionBatch
    from stfusion.networks._network import Form, Sampling, fusion_class, parameter_count

    torch.manual_seed(0)
    kind = fusion_class(name)
    network = kind(Form(bands=BANDS, pairs=kind.pairs[0])).eval()
    order = torch.channels_last if kind.channels_last else torch.contiguous_format
    network.to(memory_format=order)  # type: ignore[call-overload]

    def image() -> torch.Tensor:
        return torch.rand(1, BANDS, SIDE, SIDE).contiguous(memory_format=order)

    pairs = range(network.form.pairs)
    coarse = tuple(image() for _ in pairs) if kind.needs_coarse else ()
    batch = FusionBatch(tuple(image() for _ in pairs), coarse, image())
    noise = image()
    sampling = Sampling(lambda step: noise, steps=1) if kind.stochastic else None
    before, times = peak_memory_mb(), []
    for _ in range(TRIALS):
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            network.predict(batch, sampling)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall_s, cpu_s = (min(column) for column in zip(*times, strict=True))
    return Found(parameter_count(network.net), network.form.pairs, wall_s, cpu_s, peak_memory_mb() - before)


def table(found: dict[str, Found]) -> str:
    """The figures of all networks in Markdown."""
    lines = ["| Network | Parameters | Pairs | Seconds | Processor seconds | Memory |", "| --- |" + " ---: |" * 5]
    for name, one in found.items():
        lines.append(
            f"| [{registry.methods()[name].title}](methods/{name}.md) | {one.parameters:,} | {one.pairs} | "
            f"{one.wall_s:.2f} | {one.cpu_s:.2f} | {one.mb:.0f} MB |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure one network, or each in a process of its own, and write the table."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1]).__dict__))
        return 0
    found = {}
    for name in NETWORKS:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        plain: dict[str, Any] = json.loads(done.stdout)
        found[name] = Found(**plain)
        print(f"{name}: {found[name]}", flush=True)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
