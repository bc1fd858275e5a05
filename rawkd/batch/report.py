"""The report of a batch as a file: JSON with everything, or CSV with a line a photo."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rawkd import __version__
from rawkd.batch.outcome import Outcome, counts
from rawkd.batch.series import Series, SeriesPool
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


def write_report(path: Path, outcomes: Sequence[Outcome], pools: Mapping[tuple[str, Series], SeriesPool]) -> None:
    """Write the report of a batch, photos by name; an existing report is replaced, but no other file.

    The folder is created if no photo was written to it.

    Raises
    ------
    UsageError: if the name is neither .json nor .csv. OutputError: if another file has it, or it cannot be written.
    """
    _check_name(path)
    _refuse_other_file(path)
    records = [outcome.record() for outcome in in_order(outcomes)]
    if path.suffix.lower() == ".csv":
        text = _csv(records)
    else:
        content = {
            "rawkd": __version__,
            "counts": counts(outcomes),
            "series": [
                {"series": str(series), "outputs": root, **pool.record(), "defects": pool.number_of_defects}
                for (root, series), pool in sorted(pools.items(), key=lambda item: (item[0][0], str(item[0][1])))
            ],
            "photos": records,
        }
        text = json.dumps(content, indent=1) + "\n"
    make_folder(f"{path.parent}/")
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Sorted by input, so that the order of a report does not depend on timing."""
    return sorted(outcomes, key=lambda outcome: (outcome.task.source.root, outcome.task.name))


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
