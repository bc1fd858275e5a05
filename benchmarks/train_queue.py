"""Run the trainings of a queue file one after the other, and resume where the last call stopped.

    python benchmarks/train_queue.py QUEUE [--minutes M]

Each line of QUEUE holds one `rawkd train` or `rawkd distill`, with or without the word rawkd, as a shell would split
it; empty lines and lines that begin with # are comments. A finished run returns at once, so the first unfinished one
goes on. An entry whose data folders are missing is skipped with a warning, and so is one that fails.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path


def entries(queue: Path) -> list[list[str]]:
    """The arguments of every entry, first to last."""
    lines = (line.strip() for line in queue.read_text(encoding="utf-8").splitlines())
    words = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    return [line[line[0] == "rawkd" :] for line in words]


def missing_data(arguments: list[str]) -> list[str]:
    """Folders after --data that do not exist."""
    named = [value for option, value in pairwise(arguments) if option == "--data"]
    return [folder for folder in named if not Path(folder).is_dir()]


def main() -> int:
    """Run the queue; 1 if an entry failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queue", type=Path)
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    options = parser.parse_args()
    end = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    failed = 0
    for arguments in entries(options.queue):
        shown = shlex.join(arguments)
        if lacking := missing_data(arguments):
            print(f"warning: skipped, there is no folder {lacking[0]}: {shown}", file=sys.stderr)
            continue
        left = None if end is None else (end - time.monotonic()) / 60
        if left is not None and left <= 0:
            break
        limit = [] if left is None else ["--minutes", f"{left:.2f}"]
        print(f"rawkd {shown}", flush=True)
        code = subprocess.run([sys.executable, "-m", "rawkd", *arguments, *limit], check=False).returncode
        if code == 130:
            return code
        if code:
            print(f"warning: exit code {code}: {shown}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
