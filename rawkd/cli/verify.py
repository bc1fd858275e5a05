"""`rawkd verify`: DNGs against the digests in them; files that have changed are named."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, one_line, print_result
from rawkd.cli.exit_codes import DIGEST, FAILED, INPUT, OK
from rawkd.cli.option_values import PATH
from rawkd.cli.options import console_options, json_option

if TYPE_CHECKING:
    from rawkd.files.verify.check import Check

CODES = {
    "intact": OK,
    "no digest": OK,
    "not checked": OK,
    "mismatch": DIGEST,
    "not a DNG": INPUT,
    "unreadable": INPUT,
}
"""Exit code of a file by the status of its check."""
IN_SUMMARY = {
    "intact": "intact",
    "mismatch": "changed",
    "no digest": "without a digest",
    "not checked": "not checked",
    "not a DNG": "not a DNG",
    "unreadable": "unreadable",
}


@click.command("verify")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True, type=PATH)
@json_option("one JSON object a file instead of the summary")
@console_options
def verify_command(paths: tuple[Path, ...], as_json: bool, console: Console) -> int:
    """Check the raw pixels of DNGs, by any program, against the digests in the files.

    A DIR stands for all DNGs below it. Files that have changed are named on stderr; a summary goes to stdout.
    """
    from concurrent.futures import ThreadPoolExecutor

    from rawkd.cores import available_cores
    from rawkd.files.verify.check import check_digest

    files, codes = _files_of(paths, console)
    counts: Counter[str] = Counter()
    # JSON lines on a terminal are progress enough; a bar would stand between them
    bar = nullcontext(None) if as_json and sys.stdout.isatty() else console.progress("checking digests")
    with ThreadPoolExecutor(available_cores()) as pool, bar as progress:
        for number, path in enumerate(files, 1):
            check = check_digest(path, pool)
            counts[check.status] += 1
            codes.append(CODES[check.status])
            _tell(check, console)
            if as_json:
                print_result(json.dumps(_record(check)))
            if progress is not None:
                progress(number / len(files))
    if not as_json and console.verbosity >= 0:
        print_result(_summary(counts, len(files)))
    return _code_of_all(codes)


def _files_of(paths: tuple[Path, ...], console: Console) -> tuple[list[Path], list[int]]:
    """Return the files to check, each once, and an exit code for every folder that has none or cannot be listed."""
    from rawkd.errors import InputError
    from rawkd.files.verify.check import find_dngs

    files: dict[Path, None] = {}
    failed: list[OSError | InputError] = []
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 -- no error for a name that is too long
            files[path] = None
            continue
        before = len(failed)
        found = find_dngs(path, failed.append)
        files |= dict.fromkeys(found)
        if not found and len(failed) == before:
            failed.append(InputError(f"{path}: there is no DNG in this folder. Give another one."))
    for error in failed:
        if isinstance(error, OSError):
            console.fail(
                InputError(f"{error.filename}: this folder cannot be read ({error.strerror}). Check its permissions.")
            )
        else:
            console.fail(error)
    return list(files), [INPUT] * len(failed)


def _tell(check: Check, console: Console) -> None:
    """Print what is wrong with a file; with `-v`, also which files are right or have no digest."""
    if CODES[check.status] != OK:
        console.error("error:", one_line(check.sentence))
    elif check.status == "not checked":
        console.say(f"warning: {one_line(check.sentence)}")
    else:
        console.detail(one_line(check.sentence or f"{check.path}: intact"))


def _record(check: Check) -> dict[str, object]:
    """Return the JSON object of a file."""
    return {
        "input": str(check.path),
        "status": check.status,
        "stated": check.stated,
        "computed": check.computed,
        "sentence": check.sentence or None,
        "exit_code": CODES[check.status],
    }


def _summary(counts: Counter[str], total: int) -> str:
    """Return one line: how many files there are of each status."""
    parts = [
        f"{counts[status]} {words}" for status, words in IN_SUMMARY.items() if counts[status] or status == "intact"
    ]
    return f"{total} {'file' if total == 1 else 'files'}: {', '.join(parts)}"


def _code_of_all(codes: list[int]) -> int:
    """Return the exit code: DIGEST if any file has changed, else that of the only file, or FAILED if some failed."""
    if DIGEST in codes:
        return DIGEST
    failed = [code for code in codes if code != OK]
    return FAILED if len(codes) > 1 and failed else (failed or [OK])[0]
