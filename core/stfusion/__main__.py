"""``python -m stfusion``: the command line of the engine."""

import sys

from stfusion.cli import main

if __name__ == "__main__":
    sys.exit(main())
