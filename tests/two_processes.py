"""Tests that train on two processes, as `torchrun` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

LONGEST_S = 300.0
"""On a busy machine."""


def run_on_two_processes(script: Path, code: str) -> None:
    """Write Python code to a file and run it twice at once, one thread each; modules of tests can be imported."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or sys.platform == "win32":
        pytest.skip("needs torch.distributed with gloo")
    script.write_text(code)
    found = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": found, "OMP_NUM_THREADS": "1", "USE_LIBUV": "0"},
    )
    try:
        _, told = process.communicate(timeout=LONGEST_S)
    finally:
        process.terminate()  # torchrun takes its processes with it
    assert process.returncode == 0, told
