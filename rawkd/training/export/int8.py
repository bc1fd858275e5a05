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

LOSS_LIMIT_DB = 0.02
"""A convolution that alone loses this much PSNR at the second highest measured gain stays out of int8 (our choice). In
`best` two of the finest level lose 0.05 dB, all others next to nothing (docs/training-log.md)."""


def with_int8(card: ModelCard, ranges: Mapping[str, FloatArray], held_out: CleanSet) -> ModelCard:
    """Return the card with the ranges of int8 and its measured cost; convolutions that lose too much stay out.

    The card stays as it is if no convolution is left, if this CPU adds int8 wrongly (`int8_is_right`), or if the
    network fails the self-test in int8, alone or with bf16.

    Parameters
    ----------
    ranges : of each input channel, (channels,), by the name of the convolution.
    """
    if not ranges or not int8_is_right():
        return card
    gain = float(sorted(card.metrics, key=float)[-2])
    exact = measure_at(OpenVINOEngine(card, precision="f32"), card, held_out, gain)
    kept = {}
    for name, text in encode(ranges).items():
        alone = replace(card, int8=Int8({name: text}, {}))
        rounded = measure_at(OpenVINOEngine(alone, precision="int8"), alone, held_out, gain)
        if exact["psnr"] - rounded["psnr"] < LOSS_LIMIT_DB:
            kept[name] = text
    if not kept:
        return card
    able = replace(card, int8=Int8(kept, {}))
    cost_db = cost_of("int8", able, held_out)
    if cost_db is None or not _passes_with_bf16(able):
        return card
    return replace(able, int8=Int8(kept, cost_db))


def _passes_with_bf16(card: ModelCard) -> bool:
    """Return whether the network passes the self-test in int8 with bf16; True on a CPU without bf16."""
    if not has_bf16():
        return True
    try:
        check_golden(card, OpenVINOEngine(card, precision="int8+bf16"))
    except ModelError:
        return False
    return True
