"""Records of finished photos: one small JSON file for each, in the folder `.rawkd` beside the outputs.

Records are not part of the outputs, so a batch writes the same bytes as `rawkd denoise`. Each photo has its own file: a
kill damages none of the others, object stores can hold them, and to repeat a photo you delete its record.

The order of writing: a work file, a record marked *pending* with the work file's hash, the rename to the output, the
record marked *done*. After a kill at any point the next run can tell whether the output is the new one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from rawkd.batch.store import OWN_FOLDER, FileState, Store
from rawkd.batch.task import Task, place
from rawkd.errors import InputError

VERSION = 3


@dataclass(frozen=True)
class Record:
    """What an output was made from.

    Attributes
    ----------
    output : its name. settings : see `settings.fingerprint`.
    source : real path or URL of the input (`source_of`). size, stamp, sha256 : of the input.
    written, written_bytes : sha256 and size of the output as it was written; -1 where the store does not say the size.
    done : False while the output may still be an older file. report : `Report.record`.
    """

    output: str
    settings: str
    source: str
    size: int
    stamp: str
    sha256: str
    written: str
    written_bytes: int
    done: bool
    report: dict[str, Any]


class TaskState(Enum):
    """Whether a photo is to be denoised (NEW), is done, or its output must not be replaced (REFUSED)."""

    NEW = "new"
    DONE = "done"
    REFUSED = "refused"


def source_of(task: Task) -> str:
    """Real path or URL of the input of a task."""
    return "/".join(place(task.source, task.name))


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save(task: Task, record: Record) -> None:
    """Write the record of a photo. Raises OutputError."""
    text = json.dumps({"version": VERSION, **asdict(record)}, indent=1)
    task.target.write(_name(task), text.encode())


def load(task: Task) -> Record | None:
    """The record of a photo; None if it is missing, damaged or of another version."""
    data = task.target.read(_name(task))
    if data is None:
        return None
    try:
        content = json.loads(data)
        if content.pop("version") != VERSION or set(content) != {field.name for field in fields(Record)}:
            return None
        return Record(**content)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def judge(task: Task, settings: str, *, overwrite: bool) -> tuple[TaskState, str, Record | None]:
    """The state of a photo under these settings, the reason if it is refused, and its record if it is done."""
    if task.target.state(task.output) is None:
        return TaskState.NEW, "", None
    record = load(task)
    reason = _difference(task, settings, record)
    if reason is None:
        return TaskState.DONE, "", record
    if overwrite:
        return TaskState.NEW, "", None
    advice = "give --overwrite to replace it, or -o for another place"
    return TaskState.REFUSED, f"{task.output_shown} exists {reason}; {advice}", None


def _difference(task: Task, settings: str, record: Record | None) -> str | None:
    """Why an existing output is not the wanted one; None if it is."""
    if record is None:
        return "and no record says how it was made"
    if record.settings != settings:
        return "and was made with other settings or another version"
    if not _same_input(task, record):
        return "and was made of another input than the one that is there now"
    if not record.done and _hash(task.target, task.output) != record.written:
        return "from before"
    if (found := task.target.state(task.output)) is not None and -1 < found.size < record.written_bytes:
        return "and is shorter than it was written"
    return None


def _same_input(task: Task, record: Record) -> bool:
    """Whether the input is the recorded one: same place, size and stamp, else same bytes.

    Memory cards hold other photos of equal names, sizes and times. A store that has no stamps (some servers) says too
    little by a size alone.
    """
    state = task.source.state(task.name)
    if state is None or (state.size != record.size and -1 not in (state.size, record.size)):
        return False
    if record.source == source_of(task) and state.stamp and state == FileState(record.size, record.stamp):
        return True
    return _hash(task.source, task.name) == record.sha256


def _hash(store: Store, name: str) -> str | None:
    """sha256 of a file; None if it cannot be read."""
    try:
        with store.local(name) as path:
            return sha256_of_file(path) if path.is_file() else None
    except (OSError, InputError):
        return None


def _name(task: Task) -> str:
    return f"{OWN_FOLDER}/photos/{task.key}.json"
