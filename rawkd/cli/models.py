"""`rawkd models`: the installed models and their cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.exit_codes import OK

if TYPE_CHECKING:
    from rawkd.inference.card import ModelCard


@click.command("models")
@click.option(
    "--model",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder of models; default: the installed ones.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model on stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Also licence, data, limits and measures.")
def models_command(directory: Path | None, as_json: bool, verbose: bool) -> int:
    """List the installed models: tier, the gains that each was trained for, its size and its cost."""
    from rawkd.inference.card_file import card_json
    from rawkd.inference.students import load_cards

    for card in load_cards(directory):
        if as_json:
            click.echo(json.dumps(json.loads(card_json(card))))
        else:
            click.echo(_line(card))
            if verbose:
                click.echo("\n".join(f"    {line}" for line in _details(card)))
    return OK


def _line(card: ModelCard) -> str:
    """One line a model."""
    cost = card.macs_per_mp.get("1e6")
    work = "" if cost is None else f"  {cost:.2f} GMAC/MP"
    tier = f"  tier {card.tier}" if card.tier else ""
    low, high = card.subrange.low, card.subrange.high
    gains = f"{card.input} sigma {low:g} .. {high:g}" if card.is_for_pictures else f"gain {low:.2e} .. {high:.2e}"
    return f"{card.name}{tier}  {card.role}  {gains}  {card.params:,} parameters{work}"


def _details(card: ModelCard) -> list[str]:
    """What else the card says, a fact a line."""
    lines = [
        f"family   {card.family}, network {card.network}",
        f"anchor   gain {card.anchor.gain:g}, read variance {card.anchor.read_variance:g}",
        f"tile     {card.tile} packed pixels, halo {card.halo}, stride {card.stride}",
        f"licence  {card.licence}",
        f"data     {json.dumps(card.data)}",
        f"recipe   {json.dumps(card.recipe)}, seeds {json.dumps(card.seeds)}, commit {card.commit}, {card.created}",
        f"folder   {card.directory}",
    ]
    noise = "sigma" if card.is_for_pictures else "gain"
    lines += [
        f"at {noise} {strength}  " + ", ".join(f"{name} {value:g}" for name, value in measures.items())
        for strength, measures in card.metrics.items()
    ]
    return lines + [f"limit    {limit}" for limit in card.limits]
