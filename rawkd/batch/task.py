"""Tasks: the photos of a batch and where each is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

from rawkd.batch.store import RECORDS, FileState, LocalStore, Missed, Store, unheard
from rawkd.errors import InputError, OutputError, RawkdError, UsageError
from rawkd.files.naming import FORMAT_OF_SUFFIX, RAW_SUFFIXES, place_of


@dataclass(frozen=True)
class Task:
    """One photo and its output.

    Attributes
    ----------
    source, name : store and name of the input. target, output : store and name of the output.
    """

    source: Store
    name: str
    target: Store
    output: str

    @property
    def input_shown(self) -> str:
        """The input in messages and reports."""
        return self.source.shown(self.name)

    @property
    def output_shown(self) -> str:
        """The output in messages and reports."""
        return self.target.shown(self.output)

    @property
    def key(self) -> str:
        """Name of the record and work files of the output: hexadecimal, the same in every run."""
        return key_of(self.output)


def key_of(output: str) -> str:
    """Name of the record of an output, from its name in its store."""
    return hashlib.sha256(os.fsencode(output)).hexdigest()[:24]


class Folders:
    """What is known of local folders, each looked up once; for a time in which nothing is moved.

    Attributes
    ----------
    real : the real path of a folder. has_records : whether a batch kept records there.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.real: Callable[[Path], str] = cache(os.path.realpath)
        self.has_records: Callable[[Path], bool] = cache(lambda folder: os.path.isdir(folder / RECORDS))  # noqa: PTH112

    def place(self, store: Store, name: str) -> tuple[str, str]:
        """An identifier of a file, equal for two spellings of its path."""
        if isinstance(store, LocalStore):
            return place_of(Path(store.root, name), self.real)
        return store.root.rstrip("/"), name


@dataclass(frozen=True)
class Selection:
    """Which files are photos to denoise.

    Attributes
    ----------
    recursive : also search the folders below.
    include, exclude : globs of names, or of paths below the folder; if there is an `include`, a file has to match one.
        They hold for files that the user names, too.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether a file passes the globs."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


def is_raw_name(name: str) -> bool:
    """Whether a file has the suffix of a raw photo."""
    return PurePosixPath(name).suffix.lower() in RAW_SUFFIXES


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a name or path matches a glob; capitals do not count, as in the suffixes of raw photos."""
    tried = [each.lower() for each in (name, PurePosixPath(name).name)]
    return any(fnmatchcase(each, glob.lower()) for glob in globs for each in tried)


def find_tasks(
    inputs: Sequence[str],
    output: str | None,
    selection: Selection,
    ending: str,
    open_store: Callable[[str], Store] = LocalStore,
    missed: Missed = unheard,
) -> Mapping[Task, FileState | None]:
    """The photos of folders and files with their states, each once, in the order of their names.

    A folder is listed once. A state is None if the listing does not say it, or the file does not exist.

    Two spellings of one folder become one target, because a target is locked once and has one pool for each series.

    Parameters
    ----------
    inputs : folders, files, URLs. A named file that passes the globs is taken whatever its suffix, even if it does not
        exist.
    output : folder or URL below which the tree of each input folder is repeated; None writes beside each photo.
    ending : follows the stem of a photo in the name of its output.
    missed : called with every folder that cannot be searched, and a sentence about it.

    Raises
    ------
    InputError: if there is no photo.
    """
    target = None if output is None else open_store(output)
    found: dict[tuple[str, str], tuple[Task, FileState | None]] = {}
    beside: dict[str, Store] = {}
    folders, has_unwanted = Folders(), False
    for given in inputs:
        for store, name, state in _photos(given, selection, open_store, missed):
            if not selection.wants(name):
                has_unwanted = True
                continue
            path = PurePosixPath(name)
            home = target or beside.setdefault(_folder(store), store)
            task = Task(store, name, home, str(path.with_name(path.stem + ending)))
            found.setdefault(folders.place(store, name), (task, state))
    if not found:
        searched = ", ".join(inputs)
        below = "" if selection.recursive else "; folders below are searched with --recursive"
        what = "--include and --exclude leave no raw photo; check the patterns"
        raise InputError(f"{searched}: {what if has_unwanted else 'there are no raw photos'}{below}")
    return dict(sorted(found.values(), key=lambda one: (one[0].source.root, one[0].name)))


def refuse_missing(inputs: Sequence[str]) -> None:
    """Refuse inputs that do not exist, before any work; a missing raw file fails later and alone.

    Raises
    ------
    InputError: if an input does not exist and does not have the suffix of a raw file.
    """
    for given in inputs:
        if "://" in given or os.path.exists(given):  # noqa: PTH110 -- no error where a folder above may not be entered
            continue
        if given.endswith(("/", os.sep)) or not is_raw_name(given):
            raise InputError(f"{given}: there is no such folder or file; check the name")


def refuse_picture_name(folder: str) -> None:
    """Check that the name of a new folder does not end like that of a picture.

    Raises
    ------
    UsageError: if it does, nothing has this name yet, and no separator ends it.
    """
    is_known = folder.endswith(("/", os.sep)) or os.path.lexists(folder)
    if not is_known and Path(folder).suffix.lower() in FORMAT_OF_SUFFIX:
        raise UsageError(f"{folder}: this looks like one file. Give a folder; if it is one, end its name with /.")


def _photos(
    given: str, selection: Selection, open_store: Callable[[str], Store], missed: Missed
) -> Iterable[tuple[Store, str, FileState | None]]:
    """Stores, names and states of the photos of one argument, before the globs."""
    folder, name = given, ""
    if "://" in given:
        head, _, last = given.rstrip("/").rpartition("/")
        if not given.endswith("/") and PurePosixPath(last).suffix:
            folder, name = head, last
    elif not os.path.isdir(given):  # noqa: PTH112 -- no error where a folder above may not be entered
        folder, name = str(Path(given).parent), Path(given).name
    store = open_store(folder)
    if name:
        return [(store, name, store.state(name))]
    files = store.files(recursive=selection.recursive, missed=missed)
    return [(store, name, state) for name, state in files if is_raw_name(name)]


def _folder(store: Store) -> str:
    """An identifier of a folder, equal for two spellings of its path."""
    return str(Path(store.root).resolve()) if isinstance(store, LocalStore) else store.root.rstrip("/")


def collisions(tasks: Sequence[Task], folders: Folders) -> dict[Task, RawkdError]:
    """Tasks whose output collides, with the reason: two photos of one output name, or an output that is an input.

    A file without the suffix of a raw photo gives way: a shell's `*` also names the sidecar and the JPEG of a photo.
    """
    by_output: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        by_output.setdefault(folders.place(task.target, task.output), []).append(task)
    sources = {folders.place(task.source, task.name) for task in tasks}
    refused: dict[Task, RawkdError] = {}
    for at, rivals in by_output.items():
        if at in sources:
            text = "is one of the photos. rawkd never overwrites a photo: choose another place with -o"
            refused |= {task: OutputError(f"{task.output_shown} {text}") for task in rivals}
            continue
        raws = [task for task in rivals if is_raw_name(task.name)] or rivals
        for task in rivals:
            if task not in raws:
                text = f"this is not a raw file by its name, and {raws[0].input_shown} has the same output"
                refused[task] = InputError(f"{task.input_shown}: {text}. Leave it out, for example with --exclude.")
            elif len(raws) > 1:
                others = ", ".join(other.input_shown for other in raws if other is not task)
                text = f"{task.input_shown} and {others} would both be written to {task.output_shown}"
                advice = "denoise them to different folders, or leave one out with --exclude"
                refused[task] = OutputError(f"{text}: {advice}")
    return refused
