"""What the networks cost: parameters, and processor seconds and memory of a prediction, as tables of the documentation.

Every network is built at its published size, a fusion network for six bands and one of sharpening for four at a ratio
of 4, and predicts one patch of 256 x 256 pixels (a diffusion model: one step), three times, in a process of its own;
the best time counts. ``networks.py fusion`` or ``networks.py sharpening`` measures the networks of one page alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenes import ROOT
from stfusion import registry
from stfusion.cost import peak_memory_mb
from stfusion.networks._shared import NETWORKS, SCENE_TAUGHT, SHARPENING

if TYPE_CHECKING:
    from stfusion.networks._batch import Batch
    from stfusion.networks._network import Network

#: The pages, and the networks that each has a table of.
PAGES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "fusion": (ROOT / "docs" / "networks.md", NETWORKS),
    "sharpening": (ROOT / "docs" / "pansharpening-networks.md", (*SHARPENING, *SCENE_TAUGHT)),
}
BEGIN, END = "<!-- written by benchmarks/networks.py -->", "<!-- end of the table -->"
SIDE, TRIALS = 256, 3
FUSION_BANDS, SHARPENING_BANDS, RATIO = 6, 4, 4


@dataclass(frozen=True)
class Found:
    """What was measured of a network; ``pairs`` are those of a fusion, ``mb`` is what its prediction took beside it."""

    parameters: int
    pairs: int | None
    cpu_s: float
    mb: float


def built(name: str) -> tuple[Network, Batch]:
    """A network at its published size, and a patch for it."""
    import torch

    from stfusion.networks._batch import FusionBatch, SharpeningBatch
    from stfusion.networks._network import Form, FusionNetwork, SharpeningNetwork, network_class

    kind = network_class(name)
    if issubclass(kind, SharpeningNetwork):
        form = Form(
            bands=SHARPENING_BANDS, ratio=RATIO if kind.needs_multispectral else 0,
            target="image" if "image" in kind.targets else "residual",
        )
        coarse = torch.rand(1, SHARPENING_BANDS, SIDE // RATIO, SIDE // RATIO)
        return kind(form), SharpeningBatch(
            torch.rand(1, 1, SIDE, SIDE), torch.rand(1, SHARPENING_BANDS, SIDE, SIDE),
            coarse if kind.needs_multispectral else None,
        )
    if not issubclass(kind, FusionNetwork):
        raise TypeError(f"{name} neither fuses nor sharpens")
    network = kind(Form(bands=FUSION_BANDS, pairs=kind.pairs[0]))
    fine, pair_coarse = (
        tuple(torch.rand(1, FUSION_BANDS, SIDE, SIDE) for _ in range(network.form.pairs)) for _ in range(2)
    )
    batch = FusionBatch(fine, pair_coarse, torch.rand(1, FUSION_BANDS, SIDE, SIDE))
    return network, network.suited(batch)


def measure(name: str) -> Found:
    """Build a network and let it predict."""
    import torch

    from stfusion.networks._network import FusionNetwork, Sampling, parameter_count

    torch.manual_seed(0)
    network, batch = built(name)
    order = torch.channels_last if network.channels_last else torch.contiguous_format
    network.eval().to(memory_format=order)  # type: ignore[call-overload]
    batch = batch.map(lambda image: image.contiguous(memory_format=order))
    noise = torch.randn(batch.shape).contiguous(memory_format=order)
    sampling = Sampling(lambda step: noise, steps=1) if network.stochastic else None
    before, times = peak_memory_mb(), []
    for _ in range(TRIALS):
        begun = time.process_time()
        with torch.inference_mode():
            network.predict(batch, sampling)
        times.append(time.process_time() - begun)
    pairs = network.form.pairs if isinstance(network, FusionNetwork) else None
    return Found(parameter_count(network.net), pairs, min(times), peak_memory_mb() - before)


def table(found: dict[str, Found]) -> str:
    """The figures of networks in Markdown."""
    rows = [
        {
            "Network": f"[{registry.methods()[name].title}](methods/{name}.md)",
            "Parameters": f"{one.parameters:,}",
            **({} if one.pairs is None else {"Pairs": str(one.pairs)}),
            "Processor seconds": f"{one.cpu_s:.2f}",
            "Memory": f"{one.mb:.0f} MB",
        }
        for name, one in found.items()
    ]
    head = list(rows[0])
    lines = [head, ["---", *("---:" for _ in head[1:])], *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def measured(name: str) -> Found:
    """What a process of its own measures of a network."""
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
    plain: dict[str, Any] = json.loads(done.stdout)
    found = Found(**plain)
    print(f"{name}: {found}", flush=True)
    return found


def main() -> int:
    """Measure one network, or each of one page or of all, and write the tables."""
    wanted = sys.argv[1:] or list(PAGES)
    if wanted[0] not in PAGES:
        print(json.dumps(asdict(measure(wanted[0]))))
        return 0
    for page, names in map(PAGES.__getitem__, wanted):
        text = table({name: measured(name) for name in names})
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
