"""What the engine runs on: versions of its packages, its devices, and proof that they compute."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from typing import Any

from stfusion import PROTOCOL, __version__

BASE = ("numpy", "scipy", "numba", "rasterio", "odc-geo", "scikit-learn", "matplotlib")
NETWORKS = ("torch", "safetensors", "lightning-fabric", "tensorboardX", "h5py")


def packages() -> dict[str, Any]:
    """Python, interpreter and the versions of the packages that are installed, without importing them."""
    found: dict[str, str] = {}
    for name in (*BASE, *NETWORKS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "executable": sys.executable, "packages": found}


def check() -> dict[str, Any]:
    """Compute something with numba, and with torch where it is installed, on every device and compare with numpy.

    Returns the versions, ``devices`` (name, ok, seconds or reason) and ``ok``, which is False when a base package is
    missing or the processor's result is wrong. A graphics card that does not work is reported, not fatal.
    """
    report: dict[str, Any] = {"engine": __version__, "protocol": PROTOCOL, **packages()}
    report["missing"] = [name for name in BASE if name not in report["packages"]]
    report["devices"] = []
    if not report["missing"]:
        from stfusion import _proof

        report["devices"] = [_proof.cpu(), *_proof.cuda()]
    if not report["missing"] and all(name in report["packages"] for name in NETWORKS):
        from stfusion import _proof_torch

        report["devices"] += _proof_torch.devices()
    report["nvidia_driver"] = shutil.which("nvidia-smi") is not None
    report["ok"] = not report["missing"] and bool(report["devices"][0]["ok"])
    return report


def sentences(report: dict[str, Any]) -> list[str]:
    """The report of :func:`check` in words, a line each."""
    lines = [
        f"stfusion {report['engine']} (protocol {report['protocol']}), Python {report['python']}, "
        f"{report['executable']}",
        "Packages: " + ", ".join(f"{name} {version}" for name, version in report["packages"].items()),
    ]
    if report["missing"]:
        lines.append(f"Missing packages: {', '.join(report['missing'])}; run 'Install engine'.")
    for device in report["devices"]:
        state = f"computed correctly in {device['seconds']:.3f} s" if device["ok"] else f"not used: {device['reason']}"
        lines.append(f"Device {device['name']}: {state}")
    if report["nvidia_driver"] and all(device["name"].startswith("cpu") for device in report["devices"]):
        lines.append("An NVIDIA driver is installed, but no CUDA device was found; everything runs on the processor.")
    return lines
