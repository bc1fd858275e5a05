"""`rawkd models`: the installed models as a table, their cards with `-v`, or JSON."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rawkd.cli.console import Console, print_result, rich_results
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_values import PATH
from rawkd.cli.options import json_option
from rawkd.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from rawkd.inference.card import ModelCard

PLAIN_WIDTH = 200
"""Columns of the table where stdout is no terminal: enough that nothing is cut off."""
ALL_COLUMNS = 113
"""Columns of a terminal from which gains and parameters are shown."""
WIDE_ONLY = ("gain or sigma", "params")
LEFT = ("tier", "sensor", "name", "full-frame noise")


@click.command("models")
@click.option(
    "--model", "directory", metavar="DIR", type=PATH, help="List the models of this folder.  [default: the installed]"
)
@json_option("one JSON object a model")
@click.option("-v", "--verbose", is_flag=True, help="Also print licence, data, limits and measured quality.")
def models_command(directory: Path | None, as_json: bool, verbose: bool) -> int:
    """List the installed models: tier, sensor, name, range of noise, size, cost and quality.

    Every file of a model is checked against its card. PSNR (dB) is the mean over the gains at which a model was
    measured: compare models of the same range only. The noise range is given as ISO of a full-frame camera.
    """
    from rawkd.inference.card_file import card_json
    from rawkd.inference.students import load_cards

    cards = load_cards(directory)
    if as_json:
        for card in cards:
            print_result(json.dumps(json.loads(card_json(card))))
        return _checked(cards)
    with rich_results(PLAIN_WIDTH) as out:
        out.print(_table(cards, on_terminal=out.is_terminal, is_narrow=out.width < ALL_COLUMNS))
    if verbose:
        for card in cards:
            print_result("\n".join([f"\n{card.name}", *(f"    {line}" for line in _details(card))]))
    return _checked(cards)


def _checked(cards: Sequence[ModelCard]) -> int:
    """Print an error for each model with a file that its card does not describe; return the exit code."""
    from rawkd.inference.weights import verified_bytes

    console, code = Console(), OK
    for card in cards:
        try:
            for name in card.files:
                if (card.directory / name).exists():
                    verified_bytes(card, name)
        except ModelError as error:
            code = console.fail(error)
    return code


def _table(cards: Sequence[ModelCard], *, on_terminal: bool, is_narrow: bool) -> Table:
    """Return a table with one row a model, by kind of sensor, the quickest tier first; with rules for a terminal.

    A narrow one lacks gains and parameters, which `--json` shows as well.
    """
    from rich import box
    from rich.table import Table

    from rawkd.inference.card import DEFAULT_TIER, TIERS
    from rawkd.photo import NAMES_OF_KINDS

    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for title in ("tier", "sensor", "name", "full-frame noise", *WIDE_ONLY, "GMAC/MP", "PSNR (noisy)"):
        if title not in WIDE_ONLY or not is_narrow:
            table.add_column(title, no_wrap=True, justify="left" if title in LEFT else "right")
    if on_terminal:
        table.caption = f"Without --model, rawkd uses the tier {DEFAULT_TIER}."
        table.caption_justify = "left"
    kinds = list(NAMES_OF_KINDS)
    order = {tier: number for number, tier in enumerate(TIERS)}

    def place(card: ModelCard) -> tuple[int, int, str, float]:
        return kinds.index(card.cfa), order.get(card.tier or "", len(TIERS)), card.family, card.subrange.low

    for card in sorted(cards, key=place):
        table.add_row(*_cells(card, all_columns=not is_narrow))
    return table


def _cells(card: ModelCard, *, all_columns: bool) -> tuple[str, ...]:
    """The row of a model."""
    low, high = card.subrange.low, card.subrange.high
    gains = f"sigma {low:g} .. {high:g}" if card.is_for_pictures else f"{low:.2g} .. {high:.2g}"
    cost = card.macs_per_mp.get("1e6")
    return (
        card.tier or "-",
        "-" if card.is_for_pictures else card.cfa,
        card.name,
        f"{card.input} pictures" if card.is_for_pictures else _in_words(low, high),
        *([gains, f"{card.params / 1e6:.2f} M"] if all_columns else []),
        "-" if cost is None else f"{cost:.2f}",
        _quality(card),
    )


def _in_words(low: float, high: float) -> str:
    """The ISO range of a full-frame camera with such noise."""
    from rawkd.sensor.iso_prior import FULL_FRAME_GAIN
    from rawkd.sensor.noise_figures import BASE_ISO, usual_iso

    return "ISO {}-{}".format(*(usual_iso(BASE_ISO * gain / FULL_FRAME_GAIN) for gain in (low, high)))


def _quality(card: ModelCard) -> str:
    """Mean PSNR over the measured strengths of noise, that of the noisy pictures in brackets."""
    measured = [one for one in card.metrics.values() if "psnr" in one and "psnr_noisy" in one]
    if not measured:
        return "-"
    clean, noisy = (sum(one[name] for one in measured) / len(measured) for name in ("psnr", "psnr_noisy"))
    return f"{clean:.2f} ({noisy:.2f})"


def _details(card: ModelCard) -> list[str]:
    """What else the card says, a fact a line."""
    lines = [
        f"family   {card.family}, {card.role}, network {card.network}",
        f"anchor   gain {card.anchor.gain:g}, read variance {card.anchor.read_variance:g}",
        f"tile     {card.tile} packed pixels, halo {card.halo}, stride {card.stride}",
        f"licence  {card.licence}",
        f"data     {_summary(card.data)}",
        f"recipe   {_summary(card.recipe)}, made {card.created} at commit {card.commit}",
        f"folder   {card.directory}",
    ]
    noise = "sigma" if card.is_for_pictures else "gain"
    lines += [
        f"at {noise} {strength}  " + ", ".join(f"{name} {value:g}" for name, value in measures.items())
        for strength, measures in card.metrics.items()
    ]
    return lines + [f"limit    {limit}" for limit in card.limits]


def _summary(origin: Any) -> str:
    """Data or a recipe of a card in one line: names and numbers of files. `--json` has the rest."""
    if isinstance(origin, dict) and isinstance(origin.get("name"), str):
        return str(origin["name"])
    if not isinstance(origin, list) or not all(isinstance(one, dict) for one in origin):
        return json.dumps(origin)
    counted = Counter(str(one.get("licence") or one.get("use") or "no licence stated") for one in origin)
    return f"{len(origin)} files (--json lists them): " + "; ".join(
        f"{number} {what}" for what, number in counted.most_common()
    )
