"""Find the models of a tier or name, and choose among them by the photo's noise.

Source: the noise subrange model array of the Feature-Align paper (arXiv 2103.01524, section 3.3). A family tiles its
range of gains without gap or overlap; what is done outside is our choice, written at `choose_student`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from rawkd.errors import ModelError
from rawkd.inference.card import DEFAULT_TIER, TIERS, ModelCard
from rawkd.inference.card_file import CARD, read_card
from rawkd.inference.weights import models_directory
from rawkd.sensor.noise import NoiseModel

LEFT_ALONE_BELOW = 4.0
"""A photo with this many times less noise than a family's range begins with stays as it is. At less than half as much
students harm blown edges, and ever more so, since their products of features grow without bound; texture still gains
there (docs/accuracy.md). Our choice between the two."""


def load_cards(directory: Path | None) -> tuple[ModelCard, ...]:
    """Return every model in `directory` (one, or a folder of several), or the shipped ones; by family and subrange.

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


def one_family(cards: Iterable[ModelCard]) -> tuple[ModelCard, ...]:
    """Return the family among `cards` that denoises, lowest gain first.

    Those of the default tier, where there are any; else the students; else, where there are none, the teacher.

    Raises
    ------
    ModelError: if they are of several families or none, take more than planes, or leave a gap or overlap of gains.
    """
    found = tuple(cards)
    default = [card for card in found if card.tier == DEFAULT_TIER]
    students = [card for card in found if card.role == "student"]
    family = sorted(default or students or found, key=lambda card: card.subrange.low)
    names = sorted({card.family for card in family})
    if len(names) != 1:
        what = f"several families ({', '.join(names)})" if names else "no model"
        raise ModelError(f"the models hold {what}: name one family with --model")
    for card in family:
        card.check_denoises()
    for lower, upper in pairwise(family):
        if not math.isclose(lower.subrange.high, upper.subrange.low, rel_tol=1e-9):
            raise ModelError(
                f"the models {lower.name} and {upper.name} leave a gap or overlap between the gains "
                f"{lower.subrange.high:g} and {upper.subrange.low:g}: install the family again"
            )
    return tuple(family)


def load_family(name_or_directory: str | Path | None) -> tuple[ModelCard, ...]:
    """Return the models of a tier, of a family or model by its name, of a folder, or (None) of the default tier.

    Tiers go before the names of shipped models, and these before folders; a single model is a family of one.

    Raises
    ------
    ModelError: if the tier is not shipped or nothing of that name is found, or as `load_cards` and `one_family`.
    """
    if name_or_directory is None:
        return one_family(load_cards(None))
    if isinstance(name_or_directory, Path):
        return one_family(load_cards(name_or_directory))
    shipped = load_cards(None) if next(models_directory().glob(f"*/{CARD}"), None) else ()
    for field in ("tier", "family", "name"):
        if matches := [card for card in shipped if getattr(card, field) == name_or_directory]:
            return one_family(matches)
    tiers = ", ".join(tier for tier in TIERS if any(card.tier == tier for card in shipped)) or "none"
    if name_or_directory in TIERS:
        raise ModelError(
            f"the tier {name_or_directory} is not shipped with this version (shipped: {tiers}): name another"
        )
    if Path(name_or_directory).is_dir():
        return one_family(load_cards(Path(name_or_directory)))
    raise ModelError(
        f"{name_or_directory}: there is no tier, model or folder of this name. Choose a tier ({tiers}), or list all"
        " models with: rawkd models"
    )


def choose_student(cards: Iterable[ModelCard], noise: NoiseModel) -> tuple[ModelCard | None, tuple[str, ...]]:
    """Return the network of a family whose subrange holds the photo's green gain, and warnings.

    Below the family's range the first one serves, with a warning only below half of it: less noise is the easier
    case, and k-sigma brings it to the anchor. Farther below than `LEFT_ALONE_BELOW` none does, and the photo is best
    left as it is. From the end of the range on the last one serves, with a warning that it has seen no such noise.

    Raises
    ------
    ModelError: as `one_family`.
    """
    family = one_family(cards)
    gain, name = noise.green_gain, family[0].family
    low, high = family[0].subrange.low, family[-1].subrange.high
    if gain < low:
        far = f"the noise (gain {gain:.3g}) is far below what {name} was trained for (from {low:.3g})"
        if gain * LEFT_ALONE_BELOW < low:
            return None, (f"{far}: nothing was removed",)
        return family[0], (f"{far}: fine detail may be lost",) if gain < low / 2 else ()
    if gain >= high:
        return family[-1], (
            f"the noise (gain {gain:.3g}) is stronger than {name} has seen (up to {high:.3g}): expect leftovers",
        )
    return next(card for card in reversed(family) if gain >= card.subrange.low), ()
