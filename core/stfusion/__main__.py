"""``python -m stfusion``: the command line of the engine."""

import gc
import sys

from stfusion.cli import main

if __name__ == "__main__":
    code = main()
    # Python would look once more for garbage among all that the packages brought, which takes a fifth of a second.
    gc.freeze()
    sys.exit(code)
