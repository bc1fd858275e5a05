"""The queue of trainings: what it reads, what it skips, what it runs; and what scripts do with wrong arguments."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import ROOT

from rawkd.errors import InputError
from rawkd.photo import CFAPattern

pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

SCRIPT = ROOT / "benchmarks" / "train_queue.py"


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("ablation", "a=runs/nope b=runs/nope --pictures ."),
        ("held_out", ". runs/nope"),
        ("white_noise", "runs/nope --set ."),
        ("flat_fields", "runs/nope"),
    ],
)
def test_scripts_say_in_a_sentence_what_is_missing(tmp_path: Path, script: str, arguments: str) -> None:
    line = [sys.executable, ROOT / "benchmarks" / f"{script}.py", *arguments.split()]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: runs/nope: neither the folder of a model or run nor a shipped model.")
    assert len(done.stderr.splitlines()) == 1


def test_demosaicing_says_in_a_sentence_that_there_is_no_folder(tmp_path: Path) -> None:
    line = [sys.executable, ROOT / "benchmarks" / "demosaicing.py", "nowhere"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: nowhere: this is not a folder. Give a folder of clean pictures.\n"


def test_held_out_pictures_that_a_network_learnt_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run that held out others: the folder has had another picture since."""
    for number in range(25):
        iio.imwrite(tmp_path / f"{number:02}.png", np.full((600, 600, 3), 100 + number, np.uint8))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    held_out = importlib.import_module("held_out")
    digest = hashlib.sha256((tmp_path / "24.png").read_bytes()).hexdigest()[:16]
    learnt = {"a": {("12.png", ""), ("13.png", "")}, "b": {("sub/24.png", digest)}, "c": {("00.png", "")}}
    monkeypatch.setattr(held_out, "learnt_by", learnt.__getitem__)

    def count(networks: list[str]) -> int:
        return len(held_out.clean_planes(tmp_path, 512, 0, CFAPattern.RGGB, networks)["full"])

    assert [count([]), count(["a"]), count(["a+b"])] == [3, 2, 1]
    assert "warning: 2 held-out pictures are left out, which a network has learnt" in capsys.readouterr().err
    with pytest.raises(InputError, match="the networks have learnt all held-out pictures"):
        count(["a+b", "c"])


def test_a_queue_runs_skips_and_goes_on(tmp_path: Path) -> None:
    train = "train --recipe fanet-fast-leaves --subrange 2 --steps 1 --batch 1 --validate-every 1 --threads 1"
    queue = tmp_path / "queue.txt"
    queue.write_text(
        f"# a comment\n\ntrain --recipe fanet-fast --subrange 2 --data '{tmp_path}/gone' --out runs/lost\n"
        f"train --recipe no-such-recipe --out runs/wrong\nrawkd {train} --out 'runs/one run'\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, SCRIPT, queue], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"skipped, there is no folder {tmp_path}/gone" in done.stderr
    assert "exit code 2" in done.stderr
    assert (tmp_path / "runs" / "one run" / "checkpoint.pt").is_file()
    assert not (tmp_path / "runs" / "lost").exists()
