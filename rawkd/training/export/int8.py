"""What a card says of int8: the ranges of the features that a network rounds, and the PSNR that this costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rawkd.errors import ModelError
from rawkd.inference.card import Int8, ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import has_bf16, int8_is_right
from rawkd.inference.graph.int8 import encode
from rawkd.inference.selftest import check_golden
from rawkd.photo import FloatArray
from rawkd.training.data.clean import CleanSet
from rawkd.training.export.measures import cost_of, measure_at

LOSS_LIMIT_DB = {"int8": 0.02, "int7": 0.01}
"""A convolution that alone loses this much PSNR at the second highest measured gain stays out (our choice). In `best`
two of the finest level lose 0.05 dB in int8, all others next to nothing (docs/training-log.md)."""


def with_int8(card: ModelCard, ranges: Mapping[str, FloatArray], held_out: CleanSet) -> ModelCard:
    """Return the card with the ranges and measured costs of int8 and int7; convolutions that lose too much stay out.

    A field stays as it is if no convolution is left, if this CPU computes it wrongly (`int8_is_right`), or if the
    network fails the self-test, alone or, for int8, with bf16.

    Parameters
    ----------
    ranges : of each input channel, (channels,), by the name of the convolution.
    """
    if not ranges:
        return card
    gain = float(sorted(card.metrics, key=float)[-2])
    exact = measure_at(OpenVINOEngine(card, precision="f32"), card, held_out, gain)["psnr"]
    for precision, bits in (("int8", 8), ("int7", 7)):
        if int8_is_right(bits):
            card = _with(precision, card, encode(ranges), held_out, gain, exact)
    return card


def _with(
    precision: str, card: ModelCard, ranges: dict[str, str], held_out: CleanSet, gain: float, exact: float
) -> ModelCard:
    """Return the card with one of the two; `exact` is the PSNR in float32 at `gain`, dB."""
    kept = {}
    for name, text in ranges.items():
        alone = _carrying(card, precision, Int8({name: text}, {}))
        rounded = measure_at(OpenVINOEngine(alone, precision=precision), alone, held_out, gain)
        if exact - rounded["psnr"] < LOSS_LIMIT_DB[precision]:
            kept[name] = text
    if not kept:
        return card
    able = _carrying(card, precision, Int8(kept, {}))
    cost_db = cost_of(precision, able, held_out)
    if cost_db is None or (precision == "int8" and not _passes_with_bf16(able)):
        return card
    return _carrying(card, precision, Int8(kept, cost_db))


def _carrying(card: ModelCard, precision: str, rounding: Int8) -> ModelCard:
    return replace(card, int7=rounding) if precision == "int7" else replace(card, int8=rounding)


def _passes_with_bf16(card: ModelCard) -> bool:
    """Return whether the network passes the self-test in int8 with bf16; True on a CPU without bf16."""
    if not has_bf16():
        return True
    try:
        check_golden(card, OpenVINOEngine(card, precision="int8+bf16"))
    except ModelError:
        return False
    return True
