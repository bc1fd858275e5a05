"""The students of a family, and the choice among them by the photo's noise.

Source: the noise subrange model array of the Feature-Align paper (arXiv 2103.01524, section 3.3). A family tiles its
range of gains without gap or overlap; what is done outside is our choice, written at `choose_student`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from rawkd.errors import ModelError
from rawkd.inference.card_file import CARD, card_json, read_card
from rawkd.inference.model_card import Golden, ModelCard, NoiseSubrange
from rawkd.inference.weights import models_directory
from rawkd.sensor.noise import NoiseModel

__all__ = [
    "Golden",
    "ModelCard",
    "NoiseSubrange",
    "card_json",
    "choose_student",
    "load_cards",
    "load_family",
    "read_card",
    "student_family",
]


def load_cards(directory: Path | None) -> tuple[ModelCard, ...]:
    """Every model in `directory` (one, or a folder of several), or the shipped ones; by family and subrange.

    Raises
    ------
    ModelError: if there is none, a card is wrong, or two models have one name.
    """
    root = models_directory() if directory is None else directory
    folders = [root] if (root / CARD).exists() else sorted(path.parent for path in root.glob(f"*/{CARD}"))
    if not folders:
        raise ModelError(f"{root} holds no model: name a folder with a card.json, or a folder of such folders")
    cards = sorted((read_card(folder) for folder in folders), key=lambda card: (card.family, card.subrange.low))
    names = [card.name for card in cards]
    if len(set(names)) != len(names):
        raise ModelError(f"{root} holds two models of one name: {', '.join(names)}")
    return tuple(cards)


def student_family(cards: Iterable[ModelCard]) -> tuple[ModelCard, ...]:
    """The students among `cards`, lowest gain first.

    Raises
    ------
    ModelError: if there are none, they are of several families, or their subranges leave a gap or overlap.
    """
    students = sorted((card for card in cards if card.role == "student"), key=lambda card: card.subrange.low)
    families = sorted({card.family for card in students})
    if len(families) != 1:
        found = f"several families ({', '.join(families)})" if families else "no student"
        raise ModelError(f"the models hold {found}: name one family with --model")
    for lower, upper in pairwise(students):
        if not math.isclose(lower.subrange.high, upper.subrange.low, rel_tol=1e-9):
            raise ModelError(
                f"the students {lower.name} and {upper.name} leave a gap or overlap between the gains "
                f"{lower.subrange.high:g} and {upper.subrange.low:g}: install the family again"
            )
    return tuple(students)


def load_family(name_or_directory: str | Path | None) -> tuple[ModelCard, ...]:
    """The students of a shipped family or model by name, of a folder, or (None) of the one shipped family.

    A name is looked for among the shipped models first; a single model is a family of one.

    Raises
    ------
    ModelError: if nothing of that name is found, or as `load_cards` and `student_family`.
    """
    if name_or_directory is None:
        return student_family(load_cards(None))
    if isinstance(name_or_directory, Path):
        return student_family(load_cards(name_or_directory))
    shipped = load_cards(None) if next(models_directory().glob(f"*/{CARD}"), None) else ()
    for field in ("family", "name"):
        if matches := [card for card in shipped if getattr(card, field) == name_or_directory]:
            return student_family(matches)
    if Path(name_or_directory).is_dir():
        return student_family(load_cards(Path(name_or_directory)))
    known = ", ".join(sorted({card.family for card in shipped} | {card.name for card in shipped})) or "none"
    raise ModelError(f"{name_or_directory} is neither a folder nor a shipped model ({known}): name one of them")


def choose_student(cards: Iterable[ModelCard], noise: NoiseModel) -> tuple[ModelCard, tuple[str, ...]]:
    """The student whose subrange holds the photo's green gain, and warnings.

    Below the family's range the first student serves, with a warning only below half of it: less noise is the easier
    case, and k-sigma brings it to the anchor. From the end of the range on the last one serves, with a warning that
    it has seen no such noise.

    Raises
    ------
    ModelError: as `student_family`.
    """
    students = student_family(cards)
    gain = noise.green_gain
    low, high = students[0].subrange.low, students[-1].subrange.high
    if gain < low:
        far = f"the noise (gain {gain:.3g}) is far below what any student was trained for (from {low:.3g})"
        return students[0], (f"{far}: fine detail may be lost",) if gain < low / 2 else ()
    if gain >= high:
        return students[-1], (
            f"the noise (gain {gain:.3g}) is stronger than any student has seen (up to {high:.3g}): expect leftovers",
        )
    return next(card for card in reversed(students) if gain >= card.subrange.low), ()
