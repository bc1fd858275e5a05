"""Keep what takes long to compute, such as compiled networks, in the user's cache folder.

A file counts only if it has the key that is asked for and the hash that it states. Whoever finds no such file computes
again. A folder that cannot be read or written, or a full disk, costs nothing but time.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from rawkd.user_folders import cache_folder

FILES = 16
"""Most files that stay, the last used ones; each has 1 to 11 MB for a shipped model (our choice)."""


def load(key: str) -> list[bytes] | None:
    """Return the parts that `keep` wrote for a key, or None if there is no intact file of it."""
    path = _path_of(key)
    if path is None:
        return None
    try:
        header, _, data = path.read_bytes().partition(b"\n")
        known = json.loads(header)
        if known["key"] != key or known["sha256"] != sha256(data).hexdigest():
            return None
        parts = []
        for size in known["sizes"]:
            parts.append(data[:size])
            data = data[size:]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):
        os.utime(path)
    return parts


def keep(key: str, parts: Sequence[bytes]) -> None:
    """Write the parts of a result for `load`; do nothing if the folder cannot be written."""
    path = _path_of(key)
    if path is None:
        return
    data = b"".join(parts)
    header = json.dumps({"key": key, "sha256": sha256(data).hexdigest(), "sizes": [len(part) for part in parts]})
    temporary = path.with_name(f"{secrets.token_hex(6)}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(header.encode() + b"\n" + data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for unused in files[FILES:]:
            unused.unlink(missing_ok=True)


def _path_of(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "compiled" / f"{sha256(key.encode()).hexdigest()[:32]}.bin"
