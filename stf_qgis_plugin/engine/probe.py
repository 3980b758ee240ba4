"""Run by a Python that may become the base of the engine: says what it is, as a line of JSON.

It imports nothing of the plugin and keeps to what every Python 3 understands.
"""

import glob
import importlib.util
import json
import os
import sys
import sysconfig


def pip_wheel() -> str:
    """Path of the pip that this Python gives to new environments; empty when it cannot make them."""
    if importlib.util.find_spec("venv") is None:
        return ""
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip is None or ensurepip.origin is None:
        return ""
    # Linux distributions keep the wheel outside the module.
    bundled = os.path.join(os.path.dirname(ensurepip.origin), "_bundled")
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), bundled]
    wheels = [wheel for folder in folders if folder for wheel in glob.glob(os.path.join(folder, "pip-*.whl"))]
    return wheels[0] if wheels else ""


if __name__ == "__main__":
    print(json.dumps({
        "python": sys.executable,
        "version": sys.version_info[:2],
        "wide": sys.maxsize > 2**32,
        "pip": pip_wheel(),
    }))
