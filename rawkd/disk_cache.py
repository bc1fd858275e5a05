"""Keep what takes long to compute, such as compiled networks, in the user's cache folder.

`load` returns a file only if its key and its hash match and it belongs to the user. Otherwise the caller computes the
result again. If the folder cannot be read or written, or the disk is full, runs take longer and give the same result.
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

LIMIT_BYTES = 200_000_000
"""Largest size of all files together; the least recently used are removed first. A file of a shipped model has 1 to
40 MB, the size of its weights in float32 (our choice)."""


def load(key: str) -> list[bytes] | None:
    """Return the parts that `keep` wrote for a key, or None if there is no intact file of it."""
    path = _path_of(key)
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            if hasattr(os, "geteuid") and os.fstat(stream.fileno()).st_uid != os.geteuid():
                return None  # another user may have written a network that computes something else
            header, _, data = stream.read().partition(b"\n")
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
    """Write the parts of a result for `load`; do nothing if they exceed the limit or the folder cannot be written."""
    path = _path_of(key)
    if path is None:
        return
    data = b"".join(parts)
    header = json.dumps({"key": key, "sha256": sha256(data).hexdigest(), "sizes": [len(part) for part in parts]})
    if len(header) + 1 + len(data) > LIMIT_BYTES:
        return
    temporary = path.with_name(f"{secrets.token_hex(6)}.part")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            temporary.write_bytes(header.encode() + b"\n" + data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > LIMIT_BYTES:
                file.unlink(missing_ok=True)


def _path_of(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "compiled" / f"{sha256(key.encode()).hexdigest()[:32]}.bin"
