"""The lines of `rawkd inspect` about what was done to a photo before."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
HASH_DIGITS = 12
"""Digits of the hash of the weights in the text; JSON has all."""


def past_rows(record: Record) -> list[tuple[str, str]]:
    """Return the lines, the oldest treatment first; none if the file states nothing."""
    rows = [row for treatment in record["history"] for row in _rows(treatment)]
    applied = record["noise_reduction_applied"]
    if applied is not None:
        rows.append(("noise reduction", f"{applied:.0%} (NoiseReductionApplied)"))
    if record["marked_as_denoised"] and not record["history"]:
        rows.append(("denoised", "yes, says the mark of another program"))
    return rows


def _rows(done: Record) -> list[tuple[str, str]]:
    """Lines of one treatment by rawkd."""
    rows = [("by", done["software"])]
    if done["model"] is not None:
        copies = f", {done['ensemble']} copies averaged" if done["ensemble"] > 1 else ""
        weights = f", weights {done['weights_sha256'][:HASH_DIGITS]}" if done["weights_sha256"] else ""
        rows += [
            ("network", f"{done['model']}{weights}"),
            ("precision", f"{done['precision'] or 'not stated'}{copies}"),
            ("strength", _strength(done)),
        ]
        if done["gain"] is not None and done["read_variance"] is not None:
            pair = f"{done['gain']:.3g},{done['read_variance']:.3g}"
            rows.append(("noise removed", f"--noise {pair} ({done['noise'] or 'source not stated'})"))
    if done["defects"]:
        rows.append(("defects replaced", f"{done['defects']} pixels"))
    if done["rows"]:
        rows.append(("row noise", "removed"))
    return rows


def _strength(done: Record) -> str:
    """The strength, with luminance and colour where they differ from it."""
    parts = [f"{done['strength']:g}"]
    parts += [f"{name} {done[name]:g}" for name in ("luma", "chroma") if done[name] != 1]
    return ", ".join(parts)
