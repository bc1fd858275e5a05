"""The report of a batch as a file: JSON with everything, or CSV with a line for a photo or unreadable folder."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rawkd import __version__
from rawkd.batch.noise.series import Series, SeriesPool
from rawkd.batch.outcome import Outcome, counts, folder_record
from rawkd.errors import OutputError, UsageError
from rawkd.files.naming import make_folder, refuse_existing, refuse_file_for_folder
from rawkd.files.write.atomic import atomic_output

COLUMNS = (
    "input", "output", "status", "error", "series", "camera", "iso", "cfa", "width", "height", "gain", "read_variance",
    "noise_source", "confidence", "student", "ensemble", "device", "precision", "defects", "seconds", "warnings",
)  # fmt: skip

KEYS = {"rawkd", "counts", "series", "photos"}
"""Of a JSON report."""


def check_place(path: Path, outputs: Path | None = None) -> None:
    """Refuse before any work a report that cannot be written; its folder may be `outputs`, which the batch creates.

    Raises
    ------
    UsageError: if the name is neither .json nor .csv.
    OutputError: if another file has this name, it is a folder's or write-protected, or the folder it names does not
        exist or is write-protected.
    """
    _check_name(path)
    _refuse_other_file(path)
    folder = path.resolve().parent
    if folder.is_dir():
        if not os.access(folder, os.W_OK):
            raise OutputError(f"{path}: the folder {folder} is write-protected. Choose another place for the report.")
    elif outputs is None or folder != outputs.resolve():
        refuse_file_for_folder(path.parent)
        raise OutputError(f"{path}: there is no folder {folder}. Create it first or choose another place.")


def _check_name(path: Path) -> None:
    if path.suffix.lower() not in (".json", ".csv"):
        raise UsageError(f"{path}: a report is named .json or .csv")


def _refuse_other_file(path: Path) -> None:
    """Refuse a name under which there is another file than a report: a calibration file, a photo behind a link."""
    refuse_existing(path, overwrite=True)
    if path.exists() and not (path.is_file() and _is_report(path)):
        raise OutputError(f"{path}: the file exists and is no report of rawkd. Choose another name.")


def _is_report(path: Path) -> bool:
    """Whether a file has the keys of a report, or the first columns; those of older versions had fewer."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as stream:
            if path.suffix.lower() == ".csv":
                return stream.readline(1000).startswith(",".join(COLUMNS[:5]))
            content = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= KEYS


def write_report(
    path: Path,
    outcomes: Sequence[Outcome],
    pools: Mapping[tuple[str, Series], SeriesPool],
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the report of a batch, photos by name; an existing report is replaced, but no other file.

    The folder is created if no photo was written to it.

    Parameters
    ----------
    left_out : folders that could not be searched, with a sentence about each.

    Raises
    ------
    UsageError: if the name is neither .json nor .csv. OutputError: if another file has it, or it cannot be written.
    """
    _check_name(path)
    _refuse_other_file(path)
    photos, folders = in_order(outcomes), [folder_record(*one) for one in sorted(left_out.items())]
    if path.suffix.lower() == ".csv":
        shared = {(root, str(series)): pool.warnings for (root, series), pool in pools.items()}
        text = _csv([*(_with_warnings_of_series(one, shared) for one in photos), *folders])
    else:
        content = {
            "rawkd": __version__,
            "counts": counts(outcomes),
            "series": [
                {"series": str(series), "outputs": root, **pool.record(), "defects": pool.number_of_defects}
                for (root, series), pool in sorted(pools.items(), key=lambda item: (item[0][0], str(item[0][1])))
            ],
            "photos": [outcome.record() for outcome in photos],
            "folders_not_read": folders,
        }
        text = json.dumps(content, indent=1) + "\n"
    make_folder(f"{path.parent}/")
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Sorted by input, so that the order of a report does not depend on timing."""
    return sorted(outcomes, key=lambda outcome: (outcome.task.source.root, outcome.task.name))


def _with_warnings_of_series(outcome: Outcome, shared: Mapping[tuple[str, str], tuple[str, ...]]) -> dict[str, Any]:
    """The record of a photo with the warnings of its series, since a CSV has no other place for them.

    Parameters
    ----------
    shared : warnings by the root of the outputs and the name of the series.
    """
    record = outcome.record()
    warnings = (*record.get("warnings", ()), *shared.get((outcome.task.target.root, outcome.series), ()))
    return {**record, "warnings": list(dict.fromkeys(warnings))}


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, COLUMNS, restval="", extrasaction="ignore", lineterminator="\r\n")
    table.writeheader()
    for record in records:
        noise, error = record.get("noise") or {}, record.get("error") or {}
        flat = {
            "gain": noise.get("gain", ""),
            "read_variance": noise.get("read_variance", ""),
            "noise_source": noise.get("source", ""),
            "confidence": noise.get("confidence", ""),
            "error": error.get("sentence", ""),
            "seconds": record.get("seconds", {}).get("total", ""),
            "warnings": "; ".join(record.get("warnings", ())),
        }
        table.writerow({**record, **flat})
    return stream.getvalue()
