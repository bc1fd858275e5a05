"""Run an installed or frozen rawkd on the example photos; shared by the checks in this folder."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix != ".py" and path.is_file())
FORMATS = ("dng", "jpeg", "tiff", "png")
NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not exist, so that any use of the network fails."""


def offline(folder: Path) -> dict[str, str]:
    """Return an environment without network, without pip's and uv's own settings, with caches in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    return kept | proxies | {"PIP_CONFIG_FILE": os.devnull, "XDG_CACHE_HOME": str(folder / "cache")}


def run(*command: str | Path, folder: Path) -> str:
    """Run a command offline and return what it writes to stdout.

    Raises
    ------
    SystemExit: with its messages, if it fails.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=offline(folder))
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def seconds_of_version(program: Path, folder: Path) -> float:
    """Return the wall time of `rawkd --version`, the best of five calls."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        if not run(program, "--version", folder=folder).startswith("rawkd "):
            raise SystemExit(f"{program} --version printed something else")
        times.append(time.perf_counter() - begin)
    return min(times)


def denoised(program: Path, folder: Path, formats: tuple[str, ...] = FORMATS) -> dict[str, bytes]:
    """Denoise the examples to each format; return the bytes of the files by name."""
    out = folder / "denoised"
    for name in formats:
        run(program, "denoise", "--quiet", "--format", name, "-o", f"{out}/", *EXAMPLES, folder=folder)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def megabytes(folder: Path) -> float:
    """Return the size of all files of a folder, links not followed, in MB (10^6 bytes)."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6
