"""Run `rawkd batch` over 200 mixed files, once undisturbed and once killed at 20 random moments.

    python benchmarks/mixed_shoot.py [--model DIR] [--files 200] [--kills 20] [--seed 0]

The folder holds small DNGs, duplicates, truncated and empty files, other types, a folder named like a raw, and names
with spaces, quotes, newlines and letters that are not ASCII. Checks that every good photo and no other file has an
output, that the report names every failure, that the exit code is 1, and that after SIGKILL at random moments and
restarts the outputs are the same bytes. Prints each check; exits 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from small_shoots import left_over, outputs, write_photo

NAMES = ("plain", "with space", "Größe né", "quo'te", 'dou"ble', "new\nline", "tab\tbed", "日本")


def mixed_folder(folder: Path, number: int, seed: int) -> tuple[set[str], set[str]]:
    """Write the files; return the relative names of the good raws and of the raws that must fail."""
    rng = random.Random(seed)  # noqa: S311
    good, bad = set(), set()
    for index in range(number):
        name = f"{rng.choice(NAMES)} {index:03}"
        below = folder / rng.choice((".", "a", "a/b c"))
        path = below / f"{name}.dng"
        kind = rng.choice(("good", "good", "good", "copy", "cut", "empty", "noise", "text", "jpeg", "folder"))
        below.mkdir(parents=True, exist_ok=True)
        if kind in ("good", "copy"):
            write_photo(path, 0 if kind == "copy" else index)
            good.add(path.relative_to(folder).as_posix())
            continue
        if kind in ("cut", "empty", "noise"):
            data = write_photo(path, index).read_bytes()
            path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "noise": rng.randbytes(5000)}[kind])
            bad.add(path.relative_to(folder).as_posix())
        elif kind == "folder":
            path.mkdir()
        else:
            path.with_suffix(".txt" if kind == "text" else ".jpg").write_bytes(b"no raw")
    return good, bad


def command(source: Path, target: Path, report: Path, model: str | None) -> list[str]:
    """One batch; the report is replaced at every start."""
    words = [
        sys.executable,
        "-m",
        "rawkd",
        "batch",
        str(source),
        "-r",
        "-o",
        str(target),
        "-q",
        "--report",
        str(report),
    ]
    return [*words, "--overwrite", *(["--model", model] if model else [])]


def main() -> int:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good, bad = mixed_folder(folder / "in", options.files, options.seed)
        began = time.monotonic()
        calm = command(folder / "in", folder / "calm", folder / "calm.json", options.model)
        code = subprocess.run(calm, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        seconds = time.monotonic() - began
        expected = outputs(folder / "calm")
        report = json.loads((folder / "calm.json").read_text())
        kills = 0
        storm = command(folder / "in", folder / "storm", folder / "storm.json", options.model)
        while True:
            process = subprocess.Popen(storm, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(0.3, 1.5 * seconds / options.kills + 1) if kills < options.kills else None)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        checks = {
            "exit code 1": code == 1,
            "an output for every good photo and for no other file": len(expected) == len(good),
            "the report names every failure": all(
                json.dumps(Path(path).name)[1:-1] in json.dumps(report) for path in bad
            ),
            "the same bytes after the kills": outputs(folder / "storm") == expected,
            "nothing left over": not left_over(folder / "storm"),
        }
    print(f"{options.files} entries, {len(good)} good, {len(bad)} bad raws, {seconds:.0f} s undisturbed, {kills} kills")
    for promise, kept in checks.items():
        print("ok  " if kept else "LOST", promise)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
