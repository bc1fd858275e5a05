"""Make the README of a model from its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rawkd.inference.card import ModelCard
from rawkd.photo import NAMES_OF_KINDS


def readme_of(card: ModelCard) -> str:
    """Return the README in Markdown: purpose, limits, quality, network, training and pictures."""
    blocks = [
        f"# {card.name}",
        _purpose(card),
        "This page is made from `card.json`; `docs/model-cards.md` explains its fields.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
        "## Quality",
        f"Held-out photos, {_domain(card)}, one network pass (ensemble 1). bf16 cost: the PSNR that bf16 loses.",
        _measures(card),
        "## Network",
        _network(card),
        "## Training",
        f"On {card.recipe['hardware']}; commit {card.commit}; exported {card.created}; seeds: {_named(card.seeds)}.",
        _stages(card),
        *_pictures(card),
    ]
    return "\n\n".join(blocks) + "\n"


def _purpose(card: ModelCard) -> str:
    """Return one line: what the model is and which noise it is for."""
    low, high = card.subrange.low, card.subrange.high
    what = f"A {card.role} of the family `{card.family}`"
    if card.is_for_pictures:
        sigma = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        noise = f"for {card.input} pictures with additive white Gaussian noise of sigma {sigma} (white is 255)"
        return f"{what} {noise}. It does not take raw photos."
    tier = f" `rawkd denoise --model {card.tier}` uses it." if card.tier else ""
    photos = f"{NAMES_OF_KINDS[card.cfa]} raw photos with gains {low:.3g} to {high:.3g}"
    return f"{what} for {photos}.{tier} `rawkd inspect` prints the gain of a photo."


def _domain(card: ModelCard) -> str:
    """Return the domain of the measurements."""
    if card.is_for_pictures:
        return "crops clipped to 0..1"
    return "packed signal clipped to 0..1, true noise parameters"


def _measures(card: ModelCard) -> str:
    """Return a table of PSNR and SSIM by gain or sigma."""
    costs_db = {"bf16": card.bf16_cost_db or {}, **{name: one.cost_db for name, one in card.roundings.items()}}
    rows = [
        (
            noise,
            f"{m['psnr_noisy']:.2f}",
            f"{m['psnr']:.2f}",
            f"{m['ssim']:.4f}",
            *(str(costs.get(noise, "-")) for costs in costs_db.values()),
        )
        for noise, m in card.metrics.items()
    ]
    noise = "sigma" if card.is_for_pictures else "gain"
    return _table((noise, "noisy PSNR, dB", "PSNR, dB", "SSIM", *(f"{name} cost, dB" for name in costs_db)), rows)


def _network(card: ModelCard) -> str:
    """Return a table of size, cost and tiles."""
    pixels = "pixels" if card.is_for_pictures else "packed pixels"
    rows = [
        ("architecture", f"`{card.network}`, {card.params:,} parameters"),
        *((f"GMAC per megapixel ({size} pixels)", f"{value:.4f}") for size, value in card.macs_per_mp.items()),
        ("input", f"`{card.input}`" + (f" of {card.cell} mosaics" if card.cfa != "bayer" else "")),
        ("largest tile, stride, halo", f"{card.tile}, {card.stride}, {card.halo} {pixels}"),
    ]
    if not card.is_for_pictures:
        anchor = card.anchor
        rows.append(("noise at its input", f"gain {anchor.gain:.3g}, read variance {anchor.read_variance:.3g}"))
    return _table(("", ""), [*rows, ("licence of the weights", card.licence)])


def _stages(card: ModelCard) -> str:
    """Return a table of the training runs, first to last."""
    rows = [
        (_recipe_of(stage), f"{stage['steps']:,}", str(stage["hours"]), str(stage["val_psnr_gain_db"]))
        for stage in card.recipe["stages"]
    ]
    return _table(("recipe", "steps", "hours", "validation: dB above noisy"), rows)


def _recipe_of(stage: dict[str, Any]) -> str:
    """Return the recipe of a run, with strategy and teacher if there is one."""
    if "distillation" not in stage:
        return str(stage["recipe"])
    return f"{stage['recipe']}, {stage['distillation']['strategy']} by {stage['distillation']['teacher']}"


def _pictures(card: ModelCard) -> list[str]:
    """Return blocks that list the training pictures with their licences, and the held-out pictures."""
    trained_on = [row for row in card.data if "use" not in row]
    held_out = [f"`{row['file']}`" for row in card.data if "use" in row]
    rows = [(row["file"], row.get("repository", ""), row.get("licence", "")) for row in trained_on]
    blocks = [f"## Training pictures ({len(trained_on)})"]
    if trained_on:
        blocks += ["Licences as their sources state them.", _table(("file", "repository", "licence"), rows)]
    else:
        blocks.append("None.")
    return [*blocks, f"Held out for validation: {', '.join(held_out)}."] if held_out else blocks


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
