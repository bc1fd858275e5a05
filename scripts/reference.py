"""Write the usage lines and option tables of docs/reference.md from the commands themselves: `make reference`.

The page is written by hand, except for the parts between `<!-- command: NAME -->` and `<!-- end -->`. A part is the
usage line of a command and a table of its options. Options that several commands share stand once, in the part of their
group (`SHARED`).
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from rawkd.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
RAW_SETS = ("bench sid", "bench eld", "bench pairs", "bench burst", "bench synthetic")
SHARED = {
    "bench": ("bench sidd", "bench siddplus", "bench dnd", "bench pmrid", *RAW_SETS),
    "bench noise": RAW_SETS,
    "training": ("train", "distill", "search"),
}
"""Parts that hold what several commands have in common, and those commands."""

_PART = re.compile(r"(<!-- command: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DEFAULT = re.compile(r"\s*(?:\[default: (?P<quoted>[^\]]+)\]|;? ?[Dd]efault: (?P<plain>[^;.]+))\.?$")
_HELP = ("-h", "--help")


def command_named(name: str) -> click.Command:
    """Return a command by its words, such as "bench sidd"; "" is the program itself."""
    command: click.Command = app
    for word in name.split():
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is None:
            raise SystemExit(f"{PAGE}: rawkd has no command {name!r}")
        command = found
    return command


def options_of(name: str) -> dict[str, click.Option]:
    """Return the options of a command by their longest spelling, in the order of its help, without --help."""
    found = (param for param in command_named(name).params if isinstance(param, click.Option))
    return {max(option.opts, key=len): option for option in found if not set(_HELP) & set(option.opts)}


def shared_options(part: str) -> dict[str, click.Option]:
    """Return the options that all commands of a part of `SHARED` have, alike in every row of the table."""
    commands = SHARED[part]
    first, *others = (options_of(name) for name in commands)
    wider = [shared_options(other) for other in SHARED if set(SHARED[other]) > set(commands)]
    return {
        key: option
        for key, option in first.items()
        if all(key in other and _row(other[key]) == _row(option) for other in others)
        and not any(key in options for options in wider)
    }


def part_of_page(name: str) -> str:
    """Return the generated part of a command, or of a group of commands in `SHARED`."""
    if name in SHARED:
        return _table(shared_options(name).values())
    known = {key for part, commands in SHARED.items() if name in commands for key in shared_options(part)}
    context = click.Context(command_named(name), info_name=f"rawkd {name}".strip())
    usage = " ".join(command_named(name).get_usage(context).removeprefix("Usage: ").split())
    own = [option for key, option in options_of(name).items() if key not in known]
    return f"```text\n{usage}\n```\n" + (f"\n{_table(own)}" if own else "")


def regenerated(text: str) -> str:
    """Return the page with all generated parts renewed."""
    return _PART.sub(lambda found: f"{found[1]}\n{part_of_page(found['name'])}\n{found[3]}", text)


def _table(options: object) -> str:
    rows = [_row(option) for option in options]  # type: ignore[attr-defined]
    return "\n".join(["| option | values | default | effect |", "|---|---|---|---|", *rows]) + "\n"


def _row(option: click.Option) -> str:
    text, default = _effect_and_default(option)
    names = ", ".join(f"`{name}`" for name in option.opts)
    cells = (names, _values(option), default, text)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _values(option: click.Option) -> str:
    if option.is_flag:
        return ""
    kind = option.type.to_info_dict()
    if option.metavar and "choices" not in kind:
        limits = _limits(kind)
        names = " or ".join(f"`{name}`" for name in option.metavar.split("|"))
        return names + (f", {limits}" if limits and kind.get("max") is not None else "")
    if "choices" in kind:
        return ", ".join(f"`{choice}`" for choice in kind["choices"])
    return _limits(kind) or {"integer": "integer", "float": "number", "path": "path"}.get(kind["name"], "text")


def _limits(kind: dict[str, object]) -> str:
    low, high = kind.get("min"), kind.get("max")
    if low is None:
        return ""
    if high is None:
        return f"above {low:g}" if kind.get("min_open") else f"{low:g} or more"  # type: ignore[str-format]
    return f"{low:g} to {high:g}"  # type: ignore[str-format]


def _effect_and_default(option: click.Option) -> tuple[str, str]:
    """Return the help without the default that it names, and the default."""
    text = " ".join((option.help or "").split())
    found = _DEFAULT.search(text)
    if found:
        default = (found["quoted"] or found["plain"]).strip()
        text = text[: found.start()].rstrip(" ;")
        text = text if not text or text.endswith((".", ")")) else f"{text}."
        return text, default
    if option.required:
        return text, "required"
    default = option.default
    if option.is_flag or option.multiple or not isinstance(default, (str, int, float, Path)):
        return text, ""
    return text, f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def main() -> None:
    """Renew the page."""
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
