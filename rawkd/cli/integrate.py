"""`rawkd integrate`: install plug-ins and menu entries that start rawkd from other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console, one_line, print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_values import PATH
from rawkd.cli.options import console_options

if TYPE_CHECKING:
    from rawkd.integrate.changes import Change

NAMES = ("darktable", "lightroom", "desktop")
DONE = {
    "write": "wrote {}",
    "replace": "replaced {}",
    "extend": "added a line to {}",
    "shorten": "took a line out of {}",
    "remove": "removed {}",
    "unchanged": "{} is up to date",
    "not ours": "kept {}: rawkd did not write it",
}
PLANNED = DONE | {
    "write": "would write {}",
    "replace": "would replace {}",
    "extend": "would add a line to {}",
    "shorten": "would take a line out of {}",
    "remove": "would remove {}",
    "not ours": "would keep {}: rawkd did not write it",
}


@click.command("integrate")
@click.argument("program", metavar="|".join(NAMES), type=click.Choice(NAMES))
@click.option("--folder", metavar="DIR", type=PATH, help="Use this folder instead of the program's own.")
@click.option("--remove", is_flag=True, help="Remove what this command has installed.")
@click.option("--overwrite", is_flag=True, help="Replace files that rawkd has not written.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@console_options
def integrate_command(
    program: str, folder: Path | None, remove: bool, overwrite: bool, dry_run: bool, console: Console
) -> int:
    """Install a plug-in for darktable or Lightroom Classic, or a menu entry for the file manager (desktop).

    The names of all files that change go to stdout. Run it again after rawkd has moved or was updated.
    """
    from rawkd.errors import OutputError
    from rawkd.files.naming import refuse_file_for_folder
    from rawkd.integrate.changes import apply, plan_install, plan_removal
    from rawkd.integrate.parts import parts_of

    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 -- no error for a name that is too long
        refuse_file_for_folder(folder)
        raise OutputError(f"{folder}: this folder does not exist. Create it first, or leave out --folder.")
    parts = parts_of(program, folder)
    changes = plan_removal(parts) if remove else plan_install(parts, overwrite=overwrite)
    if not dry_run:
        apply(changes, parts)
    _tell(changes, console, PLANNED if dry_run else DONE)
    if remove and not changes:
        console.say(f"nothing of rawkd is installed for {program}")
    if not remove and not dry_run:
        console.say(parts.next_step)
    return OK


def _tell(changes: tuple[Change, ...], console: Console, words: dict[str, str]) -> None:
    """Print one line for each file."""
    if console.verbosity >= 0:
        for change in changes:
            print_result(one_line(words[change.what].format(change.path)))
