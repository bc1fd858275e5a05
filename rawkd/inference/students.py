"""Find the models of a tier or name, and choose among them by the photo's noise.

Source: the noise subrange model array of the Feature-Align paper (arXiv 2103.01524, section 3.3). The subranges of a
family cover its range of gains without gap or overlap. What happens outside the range is our choice (`choose_student`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from rawkd.errors import ModelError
from rawkd.inference.card import DEFAULT_TIER, TIERS, ModelCard
from rawkd.inference.card_file import CARD, read_card
from rawkd.inference.weights import models_directory
from rawkd.photo import NAMES_OF_KINDS, Kind
from rawkd.sensor.noise import NoiseModel

LEFT_ALONE_BELOW = 4.0
"""A photo is not denoised if its gain is more than this factor below the family's range. Below half the lowest gain the
networks damage blown edges, and more so the lower the gain is, because products of features grow without bound. Texture
still gains there (docs/accuracy.md). The factor is our choice between the two."""


class NoModelOfKindError(ModelError):
    """There is no model for the kind of sensor of a photo."""


def load_cards(directory: Path | None) -> tuple[ModelCard, ...]:
    """Return the cards in `directory` (one model, or a folder of several), or (None) the shipped ones.

    They are sorted by family and lowest gain.

    Raises
    ------
    ModelError: if there is none, a card is invalid, or two models have the same name.
    """
    root = models_directory() if directory is None else directory
    try:
        folders = [root] if (root / CARD).exists() else sorted(path.parent for path in root.glob(f"*/{CARD}"))
    except OSError:  # a name that is too long, a folder that may not be entered
        folders = []
    if not folders:
        raise ModelError(f"{root}: contains no model. Give a folder with a card.json, or a folder of such folders.")
    cards = sorted(map(_card_in, folders), key=lambda card: (card.family, card.subrange.low))
    names = [card.name for card in cards]
    if len(set(names)) != len(names):
        raise ModelError(f"{root}: two models have the same name ({', '.join(names)}). Rename one of them.")
    return tuple(cards)


def _card_in(folder: Path) -> ModelCard:
    """Return the card of a model; a file that has not changed since the last call is not read again."""
    try:
        found = (folder / CARD).stat()
    except OSError:
        return read_card(folder)  # which raises the right error
    return _card_of_state(folder, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=64)
def _card_of_state(folder: Path, *_state: int) -> ModelCard:
    return read_card(folder)


def one_family(cards: Iterable[ModelCard], cfa: Kind | None = None) -> tuple[ModelCard, ...]:
    """Return the one family of `cards` to denoise with, lowest gain first.

    These are the cards of the default tier if there are any, else the students, else the teachers.

    Parameters
    ----------
    cfa : kind of sensor that the models must be for; None for any.

    Raises
    ------
    ModelError: if these are no card or several families, cannot denoise raw photos, or have a gap or overlap of gains;
        if none is for the kind of sensor.
    """
    found = tuple(cards)
    if cfa is not None:
        found = _of_kind(found, cfa)
    default = [card for card in found if card.tier == DEFAULT_TIER]
    students = [card for card in found if card.role == "student"]
    family = sorted(default or students or found, key=lambda card: card.subrange.low)
    folders = {card.family: card.directory for card in reversed(family)}
    if not folders:
        raise ModelError("there is no model. Choose one with --model.")
    if len(folders) > 1:
        tiers = {card.tier for card in family}
        what = f"the tier {tiers.pop()} has" if len(tiers) == 1 and None not in tiers else "the models belong to"
        listed = ", ".join(f"{name} in {folders[name]}" for name in sorted(folders))
        raise ModelError(f"{what} several families ({listed}). Choose one family with --model, or remove the others.")
    for card in family:
        card.check_denoises()
    for lower, upper in pairwise(family):
        if not math.isclose(lower.subrange.high, upper.subrange.low, rel_tol=1e-9):
            raise ModelError(
                f"the models {lower.name} and {upper.name} leave a gap or overlap between the gains "
                f"{lower.subrange.high:g} and {upper.subrange.low:g}. Install the family again."
            )
    return tuple(family)


def _of_kind(cards: tuple[ModelCard, ...], cfa: Kind) -> tuple[ModelCard, ...]:
    """Return the cards for a kind of sensor, and those for pictures, which `one_family` refuses by name.

    Raises
    ------
    NoModelOfKindError: if there are cards, but none of that kind.
    """
    found = tuple(card for card in cards if card.cfa == cfa or card.is_for_pictures)
    if cards and not found:
        raise NoModelOfKindError(
            f"there is no model for {NAMES_OF_KINDS[cfa]} photos among those asked for. Choose another --model (`rawkd"
            " models` lists the installed ones); --strength 0 converts the photo without denoising it."
        )
    return found


def load_family(name_or_directory: str | Path | None, cfa: Kind = "bayer") -> tuple[ModelCard, ...]:
    """Return the models of a tier, of a family or model by its name, of a folder, or (None) of the default tier.

    A name is looked up as a tier first, then among the shipped families and models, then as a folder. For a kind of
    sensor that has no model of the tier, the next faster tier is returned (`tier_warnings` says so).

    Parameters
    ----------
    cfa : kind of the photo's sensor; the models are of this kind.

    Raises
    ------
    ModelError: if the tier is not shipped or nothing has that name; also as `load_cards` and `one_family`.
    """
    if name_or_directory is None:
        return one_family(load_cards(None), cfa)
    if isinstance(name_or_directory, Path):
        return one_family(load_cards(name_or_directory), cfa)
    shipped = load_cards(None) if next(models_directory().glob(f"*/{CARD}"), None) else ()
    for field in ("tier", "family", "name"):
        if matches := [card for card in shipped if getattr(card, field) == name_or_directory]:
            return one_family(_faster_tier(shipped, name_or_directory, cfa) if field == "tier" else matches, cfa)
    tiers = ", ".join(tier for tier in TIERS if any(card.tier == tier for card in shipped)) or "none"
    if name_or_directory in TIERS:
        raise ModelError(
            f"the tier {name_or_directory} is not shipped with this version. Choose one of the shipped tiers: {tiers}."
        )
    if os.path.isdir(name_or_directory):  # noqa: PTH112 -- no error for a name that is too long
        return one_family(load_cards(Path(name_or_directory)), cfa)
    raise ModelError(
        f"{name_or_directory}: there is no tier, model or folder of this name. Choose a tier ({tiers}), or list all"
        " models with: rawkd models"
    )


def _faster_tier(shipped: tuple[ModelCard, ...], tier: str, cfa: Kind) -> list[ModelCard]:
    """Return the models of a tier for a kind of sensor, or of the next faster tier that has some, else of the tier."""
    for name in reversed(TIERS[: TIERS.index(tier) + 1]):
        if found := [card for card in shipped if card.tier == name and card.cfa == cfa]:
            return found
    return [card for card in shipped if card.tier == tier]


def tier_warnings(asked: str | Path | None, card: ModelCard) -> tuple[str, ...]:
    """Return a warning if a tier was asked for and the network is of another one."""
    if asked not in TIERS or card.tier == asked:
        return ()
    return (f"there is no {asked} model for {NAMES_OF_KINDS[card.cfa]} photos, so the {card.tier} one was used",)


def load_families(name_or_directory: str | Path | None) -> tuple[ModelCard, ...]:
    """Return what `load_family` returns for every kind of sensor that has models, one family after another.

    Raises
    ------
    ModelError: as `load_family`, if there is no model for any kind.
    """
    found: list[ModelCard] = []
    missing: NoModelOfKindError | None = None
    for kind in NAMES_OF_KINDS:
        try:
            found += load_family(name_or_directory, kind)
        except NoModelOfKindError as error:
            missing = missing or error
    if missing is not None and not found:
        raise missing
    return tuple(found)


def choose_student(cards: Iterable[ModelCard], noise: NoiseModel) -> tuple[ModelCard | None, tuple[str, ...]]:
    """Return the network of a family whose subrange holds the photo's green gain, and warnings.

    Below the range of the family the first network is used: less noise is easier, and k-sigma scales it to the anchor.
    Below half of the range a warning says so, and more than `LEFT_ALONE_BELOW` times below it the network is None: do
    not denoise the photo. Above the range the last network is used, with a warning.

    Raises
    ------
    ModelError: as `one_family`.
    """
    family = one_family(cards)
    gain, name = noise.green_gain, family[0].family
    low, high = family[0].subrange.low, family[-1].subrange.high
    if gain < low:
        little = f"this photo has almost no noise (gain {gain:.3g}; {name} learnt from {low:.3g} on)"
        if gain * LEFT_ALONE_BELOW < low:
            return None, (f"{little}, so nothing was removed: if you see grain, give more noise with --noise A,B",)
        advice = "lower --strength, or leave it as it is"
        told = f"{little}, so denoising may remove fine detail: {advice}"
        return family[0], (told,) if gain < low / 2 else ()
    if gain >= high:
        return family[-1], (
            f"this photo has more noise (gain {gain:.3g}) than {name} learnt to remove (up to {high:.3g}), so some may"
            " stay: reduce the rest in your editor",
        )
    return next(card for card in reversed(family) if gain >= card.subrange.low), ()
