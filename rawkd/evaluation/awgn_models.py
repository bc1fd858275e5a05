"""Models for pictures with white Gaussian noise: find them, and choose the one for a sigma."""

from __future__ import annotations

from pathlib import Path

from rawkd.errors import ModelError
from rawkd.inference.card import PICTURES, ModelCard
from rawkd.inference.engines import Engines
from rawkd.inference.pictures import restore_picture
from rawkd.inference.students import load_cards
from rawkd.inference.weights import models_directory
from rawkd.photo import FloatArray

ADVICE = "train one with rawkd train --recipe mdrn-2b-grey --sigma S"


class PictureModels:
    """The networks of one name or folder, one for each sigma, with their engines in float32.

    Attributes
    ----------
    name : in tables and reports; with a + if results are averaged over the eight symmetries. kind : grey | rgb.
    """

    def __init__(self, name_or_folder: str, *, members: int = 1, device: str = "cpu", threads: int | None = None):
        """Find the models.

        Raises
        ------
        ModelError: if there is none, or some take grey and some colour pictures.
        """
        self.cards = picture_cards(name_or_folder)
        kinds = sorted({card.input for card in self.cards})
        if len(kinds) != 1:
            raise ModelError(f"{name_or_folder} holds models of grey and of colour pictures: name either")
        self.kind = kinds[0]
        shown = Path(name_or_folder).resolve().name if Path(name_or_folder).is_dir() else name_or_folder
        self.name = f"{shown}+" if members == 8 else shown
        self._members, self._device, self._threads = members, device, threads
        self._engines = Engines()

    def card_for(self, sigma: float) -> ModelCard:
        """The model that was trained for a sigma.

        Raises
        ------
        ModelError: if there is none or more than one.
        """
        found = [card for card in self.cards if card.subrange.low <= sigma <= card.subrange.high]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(card.name for card in found))
            raise ModelError(f"several models of {self.name} know sigma {sigma:g} ({names}): name one of them")
        ranges = sorted((card.subrange.low, card.subrange.high) for card in self.cards)
        known = ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges)
        raise ModelError(
            f"{self.name} has no model for sigma {sigma:g} (it has {known}): leave that sigma out, or {ADVICE}"
        )

    def load(self, sigma: float) -> None:
        """Load and self-test the model for a sigma, before the clock starts."""
        self._engines.load(self.card_for(sigma), device=self._device, threads=self._threads, precision="f32")

    def restore(self, noisy: FloatArray, sigma: float) -> FloatArray:
        """(c, h, w) noisy picture, white 1 -> restored, unclipped."""
        card = self.card_for(sigma)
        engine, _ = self._engines.load(card, device=self._device, threads=self._threads, precision="f32")
        return restore_picture(engine, noisy, card, self._members)

    def describe(self) -> dict[str, object]:
        """Name, models and settings as plain values, for JSON."""
        return {
            "name": self.name,
            "kind": f"{self.kind} models",
            "models": {card.name: card.files for card in self.cards},
            "ensemble": self._members,
            "precision": "f32",
        }


def picture_cards(name_or_folder: str) -> tuple[ModelCard, ...]:
    """The cards of models of pictures in a folder, or of a shipped family or model of that name.

    Raises
    ------
    ModelError: if there is none.
    """
    if Path(name_or_folder).is_dir():
        cards = load_cards(Path(name_or_folder))
    else:
        shipped = load_cards(None) if models_directory().is_dir() else ()
        cards = tuple(card for card in shipped if name_or_folder in (card.family, card.name))
    found = tuple(card for card in cards if card.is_for_pictures)
    if not found:
        what = f"holds no model of {' or '.join(PICTURES)} pictures" if cards else "is neither a folder nor a model"
        raise ModelError(f"{name_or_folder} {what} with white Gaussian noise: {ADVICE}")
    return found
