"""Run the command line as ``python -m rawkd``."""

import sys

from rawkd.cli import main

if __name__ == "__main__":
    sys.exit(main())
