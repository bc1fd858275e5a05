"""The queue of trainings: what it reads, what it skips, what it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

SCRIPT = ROOT / "benchmarks" / "train_queue.py"


def test_a_queue_runs_skips_and_goes_on(tmp_path: Path) -> None:
    train = "train --recipe fanet-fast-leaves --subrange 2 --steps 1 --batch 1 --validate-every 1 --threads 1"
    queue = tmp_path / "queue.txt"
    queue.write_text(
        f"# a comment\n\ntrain --recipe fanet-fast --subrange 2 --data '{tmp_path}/gone' --out runs/lost\n"
        f"train --recipe no-such-recipe --out runs/wrong\n{train} --out 'runs/one run'\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, SCRIPT, queue], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"skipped, there is no folder {tmp_path}/gone" in done.stderr
    assert "exit code 2" in done.stderr
    assert (tmp_path / "runs" / "one run" / "checkpoint.pt").is_file()
    assert not (tmp_path / "runs" / "lost").exists()
