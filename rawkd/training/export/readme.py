"""The README of a model, made from its card."""

from __future__ import annotations

from rawkd.inference.card import ModelCard


def readme_of(card: ModelCard) -> str:
    """Markdown that says what the card says, for a person."""
    tier = f" (tier `{card.tier}`)" if card.tier else ""
    stages = [
        f"| {stage['recipe']} | {stage['steps']:,} | {stage['hours']} | {stage['val_psnr_gain_db']} |"
        for stage in card.recipe["stages"]
    ]
    pixels = "pixels" if card.is_for_pictures else "packed pixels"
    bf16_cost_db = card.bf16_cost_db or {}
    metrics = [
        f"| {gain} | {m['psnr_noisy']:.2f} | {m['psnr']:.2f} | {m['ssim']:.4f} | {bf16_cost_db.get(gain, '-')} |"
        for gain, m in card.metrics.items()
    ]
    pictures = [
        f"| {row['file']} | {row.get('repository', '')} | {row.get('licence', row.get('use', ''))} |"
        for row in card.data
    ]
    lines = [
        f"# {card.name}",
        "",
        f"A {card.role} of the family `{card.family}`{tier} {_noise(card)}.",
        "",
        f"Network `{card.network}`, {card.params:,} parameters, "
        + ", ".join(f"{value:.4f} GMAC per megapixel ({name})" for name, value in card.macs_per_mp.items())
        + f"; stride {card.stride}, halo {card.halo} {pixels}. Licence of the weights: {card.licence}.",
        "",
        "| stage | steps | hours | validation: dB above noisy |",
        "|---|---|---|---|",
        *stages,
        "",
        f"Trained on {card.recipe['hardware']}, commit {card.commit}, {card.created}. Seeds: {card.seeds}.",
        "",
        f"Held-out photographs, {_domain(card)}, ensemble 1:",
        "",
        f"| {'sigma' if card.is_for_pictures else 'gain'} | noisy PSNR, dB | PSNR, dB | SSIM | bf16 costs, dB |",
        "|---|---|---|---|---|",
        *metrics,
        "",
        "Known limits:",
        "",
        *(f"- {limit}" for limit in card.limits),
        "",
        "Training pictures, licences as their sources claim them:",
        "",
        "| file | repository | licence |",
        "|---|---|---|",
        *pictures,
    ]
    return "\n".join(lines) + "\n"


def _noise(card: ModelCard) -> str:
    """The noise that the model is for."""
    low, high = card.subrange.low, card.subrange.high
    if card.is_for_pictures:
        sigma = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"for {card.input} pictures with additive white Gaussian noise of sigma {sigma} (white is 255)"
    return (
        f"for gains {low:.3g} to {high:.3g} (signal units), anchored at gain {card.anchor.gain:.3g}, read variance "
        f"{card.anchor.read_variance:.3g}"
    )


def _domain(card: ModelCard) -> str:
    """In what it was measured."""
    if card.is_for_pictures:
        return "crops clipped to 0..1"
    return "packed signal clipped to 0..1, true noise parameters"
