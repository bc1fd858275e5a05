"""Records of finished photos: one small JSON file for each, in the folder `.rawkd` beside the outputs.

Records are not part of the outputs, so a batch writes the same bytes as `rawkd denoise`. Each photo has its own file: a
kill damages none of the others, object stores can hold them, and to repeat a photo you delete its record.

The order of writing: a work file, a record marked *pending* with the work file's hash, the rename to the output, the
record marked *done*. A pending record contains the last one that was done. After a kill at any point the next run can
tell by the hash of the output which of the two it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from rawkd.batch.settings import Settings, changes
from rawkd.batch.store import RECORDS, FileState, LocalStore, Store
from rawkd.batch.task import Folders, Task, key_of
from rawkd.errors import InputError

VERSION = 4
BEFORE = "before"
"""The key of the last record that was done, in a pending one."""


@dataclass(frozen=True)
class Record:
    """What an output was made from.

    Attributes
    ----------
    output : its name. settings : see `settings.settings_of`.
    source : real path or URL of the input (`source_of`). size, stamp, sha256 : of the input.
    written, written_bytes : sha256 and size of the output as it was written; -1 where the store does not say the size.
    done : False while the output may still be an older file. report : `Report.record`.
    saved_s : when the record was saved, seconds since 1970: of several records of an output the last one counts.
    """

    output: str
    settings: Settings
    source: str
    size: int
    stamp: str
    sha256: str
    written: str
    written_bytes: int
    done: bool
    report: dict[str, Any]
    saved_s: float = 0.0


class TaskState(Enum):
    """Whether a photo is to be denoised (NEW), is done, or its output must not be replaced (REFUSED) or is KEPT."""

    NEW = "new"
    DONE = "done"
    KEPT = "kept"
    REFUSED = "refused"


def source_of(task: Task, folders: Folders) -> str:
    """Real path or URL of the input of a task."""
    return "/".join(folders.place(task.source, task.name))


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save(task: Task, record: Record) -> None:
    """Write the record of a photo; a pending one with the last that was done. Raises OutputError."""
    content = {"version": VERSION, **asdict(record), "saved_s": time.time()}
    if not record.done:
        saved = _saved(task.target.read(_name(task.output)))
        before = next((one for one in saved if isinstance(one, Record) and one.done), None)
        content |= {} if before is None else {BEFORE: asdict(before)}
    task.target.write(_name(task.output), json.dumps(content, indent=1).encode())


def load(task: Task, folders: Folders) -> Record | str:
    """The last record of an output, or why there is none, in words.

    After a kill the last one may be pending: then that one counts, as done, whose hash the output has. If both settings
    gave the same bytes, it is the one that was done.
    """
    found = [one for store, name in _places(task, folders) for one in _saved(store.read(name))]
    records = sorted((one for one in found if isinstance(one, Record)), key=lambda one: one.saved_s, reverse=True)
    if not records:
        return str(found[0]) if found else "no record says how it was made"
    if records[0].done:
        return records[0]
    sha256 = _hash(task.target, task.output)
    done_first = sorted(records, key=lambda one: not one.done)
    return next((replace(one, done=True) for one in done_first if one.written == sha256), records[0])


def _places(task: Task, folders: Folders) -> Iterator[tuple[Store, str]]:
    """Stores and names of the records that batches of the same output to other folders may have kept.

    They are in the folders between the root of the outputs and the output, and in those above the root. Of URLs only
    the root is known, since each look is a request.
    """
    yield task.target, _name(task.output)
    if isinstance(task.target, LocalStore):
        parts = PurePosixPath(task.output).parts
        for depth in range(1, len(parts)):
            if folders.has_records(Path(task.target.root, *parts[:depth])):
                yield task.target, "/".join((*parts[:depth], _name("/".join(parts[depth:]))))
        root = Path(folders.real(Path(task.target.root)))
        for above in filter(folders.has_records, root.parents):
            yield LocalStore(str(above)), _name((root.relative_to(above) / task.output).as_posix())


def _saved(data: bytes | None) -> Sequence[Record | str]:
    """The record of a file and the one before it, if it has them, or what is wrong with it, in words."""
    if data is None:
        return []
    try:
        content = json.loads(data)
        if content.pop("version") != VERSION:
            return ["its record is of another version of rawkd"]
        before = content.pop(BEFORE, None)
        return [_checked(one) for one in (content, before) if one is not None]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return ["its record is damaged"]


def _checked(content: dict[str, Any]) -> Record:
    """The record of plain values. Raises TypeError or ValueError if one is missing, of another type or not finite."""
    record = Record(**content)
    report = record.report
    right = (
        "saved_s" in content
        and all(isinstance(value, str) for value in (record.output, record.source, record.stamp))
        and all(isinstance(value, str) for value in (record.sha256, record.written))
        and all(type(value) is int for value in (record.size, record.written_bytes))
        and isinstance(record.done, bool)
        and type(record.saved_s) in (int, float)
        and all(isinstance(value, dict) for value in (record.settings, report))
        and isinstance(report.get("noise", {}), dict)
        and isinstance(report.get("seconds", {}), dict)
        and isinstance(report.get("series", ""), str)
        and isinstance(report.get("warnings", []), list)
        and all(isinstance(warning, str) for warning in report.get("warnings", []))
    )
    if not right or not math.isfinite(record.saved_s):
        raise TypeError("a value is of another type than rawkd writes")
    return record


def judge(
    task: Task, settings: Settings, folders: Folders, *, overwrite: bool, keep_existing: bool = False
) -> tuple[TaskState, str, Record | None]:
    """The state of a photo under these settings, the reason if it is refused, and its record if it is done.

    A kept photo has a record if one says that the output was made of this photo. If it was made of another one, the
    photo is refused: nobody has denoised it.
    """
    if task.target.state(task.output) is None:
        return TaskState.NEW, "", None
    record = load(task, folders)
    reason = f"and {record}" if isinstance(record, str) else _difference(task, settings, record, folders)
    if reason is None and isinstance(record, Record):
        return TaskState.DONE, "", record
    if keep_existing:
        return _kept(task, record, folders)
    if overwrite:
        return TaskState.NEW, "", None
    advice = "give --overwrite to replace it, --keep-existing to leave it, or -o for another place"
    return TaskState.REFUSED, f"{task.output_shown} exists {reason}; {advice}", None


def _kept(task: Task, record: Record | str, folders: Folders) -> tuple[TaskState, str, Record | None]:
    """What `judge` says of an output that is left as it is."""
    if isinstance(record, str) or not record.done:
        return TaskState.KEPT, "", None
    if record.source == source_of(task, folders) or _same_input(task, record, folders):
        return TaskState.KEPT, "", record
    advice = f"give -o for another place for {task.input_shown}, or leave it out with --exclude"
    return TaskState.REFUSED, f"{task.output_shown} exists and was made of {record.source}; {advice}", None


def _difference(task: Task, settings: Settings, record: Record, folders: Folders) -> str | None:
    """Why an existing output is not the wanted one; None if it is."""
    if not record.done:
        return "and a run was killed while it was replaced"
    if record.settings != settings:
        differing = "; ".join(changes(record.settings, settings)) or "unknown settings"
        return f"and was made with other settings or another version ({differing})"
    if not _same_input(task, record, folders):
        return "and was made of another input than the one that is there now"
    if (found := task.target.state(task.output)) is not None and -1 < found.size < record.written_bytes:
        return "and is shorter than it was written"
    return None


def _same_input(task: Task, record: Record, folders: Folders) -> bool:
    """Whether the input is the recorded one: same place, size and stamp, else same bytes.

    Memory cards hold other photos of equal names, sizes and times. A store that has no stamps (some servers) says too
    little by a size alone.
    """
    state = task.source.state(task.name)
    if state is None or (state.size != record.size and -1 not in (state.size, record.size)):
        return False
    if record.source == source_of(task, folders) and state.stamp and state == FileState(record.size, record.stamp):
        return True
    return _hash(task.source, task.name) == record.sha256


def _hash(store: Store, name: str) -> str | None:
    """sha256 of a file; None if it cannot be read."""
    try:
        with store.local(name) as path:
            return sha256_of_file(path) if path.is_file() else None
    except (OSError, InputError):
        return None


def _name(output: str) -> str:
    """The name of the record of an output, in the store of that output."""
    return f"{RECORDS}/{key_of(output)}.json"
