"""The README of a model, made from its card."""

from __future__ import annotations

from rawkd.inference.card_file import ModelCard


def readme_of(card: ModelCard) -> str:
    """Markdown that says what the card says, for a person."""
    low, high = card.subrange.low, card.subrange.high
    stages = [
        f"| {stage['recipe']} | {stage['steps']:,} | {stage['hours']} | {stage['val_psnr_gain_db']} |"
        for stage in card.recipe["stages"]
    ]
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
        f"A {card.role} of the family `{card.family}` for gains {low:.3g} to {high:.3g} (signal units), anchored at "
        f"gain {card.anchor.gain:.3g}, read variance {card.anchor.read_variance:.3g}.",
        "",
        f"Network `{card.network}`, {card.params:,} parameters, "
        + ", ".join(f"{value:.4f} GMAC per megapixel ({name})" for name, value in card.macs_per_mp.items())
        + f"; stride {card.stride}, halo {card.halo} packed pixels. Licence of the weights: {card.licence}.",
        "",
        "| stage | steps | hours | validation: dB above noisy |",
        "|---|---|---|---|",
        *stages,
        "",
        f"Trained on {card.recipe['hardware']}, commit {card.commit}, {card.created}. Seeds: {card.seeds}.",
        "",
        "Held-out photographs, packed signal clipped to 0..1, true noise parameters, ensemble 1:",
        "",
        "| gain | noisy PSNR, dB | PSNR, dB | SSIM | bf16 costs, dB |",
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
