"""The colour filter array (CFA) of a sensor: a small cell of colours that repeats over all pixels.

A Bayer cell has 2 x 2 pixels, an X-Trans cell 6 x 6. A monochrome sensor has no filters; we write it as a 2 x 2 cell of
one colour, because networks take its pixels four at a time, like those of a Bayer sensor.

A *phase* is the cell at another origin: 4 of Bayer, 18 of X-Trans, 1 of monochrome. Everything that works on unified
mosaics (`sensor.cfa`) knows only the *canonical* phase of each kind. A *noise class* is a set of pixels that share
their noise parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UnsupportedRawError

Kind = Literal["bayer", "xtrans", "mono"]
SiteArray = NDArray[np.intp]

KINDS: dict[Kind, str] = {
    "bayer": "RGGB",
    "xtrans": "".join(["GGRGGB", "GGBGGR", "BRGRBG", "GGBGGR", "GGRGGB", "RBGBRG"]),
    "mono": "WWWW",
}
"""Canonical cell of each kind of sensor, row by row; W is a pixel without a colour filter."""
NAMES_OF_KINDS: dict[Kind, str] = {"bayer": "Bayer", "xtrans": "X-Trans", "mono": "monochrome"}
CLASSES: dict[Kind, tuple[str, ...]] = {"bayer": ("R", "Gr", "Gb", "B"), "xtrans": ("R", "G", "B"), "mono": ("W",)}
"""Noise classes of each kind. Gr is the green that shares its row with red."""
COLOUR_OF_CLASS = {"R": 0, "Gr": 1, "Gb": 1, "G": 1, "B": 2, "W": 1}
"""Index of each class's colour among R, G, B; that of a monochrome pixel is green's, like its role."""


@dataclass(frozen=True)
class CFAPattern:
    """The colours of a cell at the origin of the active area, row by row.

    Attributes
    ----------
    colours : letters R, G, B of a phase of Bayer (4 letters) or X-Trans (36), or "WWWW" for monochrome.

    Raises
    ------
    ValueError: if the colours are no phase of a known kind.
    """

    colours: str

    RGGB: ClassVar[CFAPattern]
    BGGR: ClassVar[CFAPattern]
    GRBG: ClassVar[CFAPattern]
    GBRG: ClassVar[CFAPattern]
    XTRANS: ClassVar[CFAPattern]
    MONO: ClassVar[CFAPattern]

    def __post_init__(self) -> None:
        if self.colours not in _kind_of_phase():
            raise ValueError(f"{self.colours!r} is not a Bayer, X-Trans or monochrome cell")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of_kind(cls, kind: Kind) -> CFAPattern:
        """Return the canonical cell of a kind of sensor: RGGB, `XTRANS` or `MONO`."""
        return cls(KINDS[kind])

    @property
    def kind(self) -> Kind:
        """Kind of sensor: bayer | xtrans | mono."""
        return _kind_of_phase()[self.colours]

    @property
    def name(self) -> str:
        """Name for reports: the four letters of a Bayer phase, or the name of the kind."""
        return self.colours if self.kind == "bayer" else NAMES_OF_KINDS[self.kind]

    @property
    def side(self) -> int:
        """Side of the cell in pixels: 6 for X-Trans, else 2."""
        return _side(self.colours)

    @property
    def canonical(self) -> CFAPattern:
        """The canonical phase of the same kind."""
        return CFAPattern(KINDS[self.kind])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the noise classes: R, Gr, Gb, B; R, G, B; or W."""
        return CLASSES[self.kind]

    @property
    def class_of_site(self) -> SiteArray:
        """(side, side) index of each pixel's noise class; read-only."""
        return _class_of_site(self.colours)

    @property
    def colour_of_class(self) -> SiteArray:
        """(classes,) index of each class's colour among R, G, B."""
        return np.array([COLOUR_OF_CLASS[name] for name in self.classes], np.intp)

    def colour_at(self, row: int, column: int) -> str:
        """Return the letter of the colour of a pixel; row and column count from the origin, also below 0."""
        return self.colours[self.side * (row % self.side) + column % self.side]

    def shifted(self, rows: int, columns: int) -> CFAPattern:
        """Return the pattern after the origin moves by `rows` and `columns` pixels."""
        sites = range(self.side)
        return CFAPattern("".join(self.colour_at(r + rows, c + columns) for r in sites for c in sites))

    def transposed(self) -> CFAPattern:
        """Return the pattern of the transposed mosaic."""
        sites = range(self.side)
        return CFAPattern("".join(self.colour_at(c, r) for r in sites for c in sites))

    def flipped(self, *, rows: bool = False, columns: bool = False) -> CFAPattern:
        """Return the pattern of the flipped mosaic, whose height and width are multiples of `side`."""
        sites = range(self.side)
        return CFAPattern(
            "".join(self.colour_at(-1 - r if rows else r, -1 - c if columns else c) for r in sites for c in sites)
        )

    def exchanged(self) -> CFAPattern:
        """Return the pattern with R and B exchanged."""
        return CFAPattern(self.colours.translate(str.maketrans("RB", "BR")))

    def require_bayer(self, what: str) -> None:
        """Refuse a mosaic that is not Bayer.

        Parameters
        ----------
        what : what cannot be done ("rendering").

        Raises
        ------
        UnsupportedRawError: if the pattern is not Bayer.
        """
        if self.kind != "bayer":
            raise UnsupportedRawError(
                f"{what} works for Bayer mosaics only, and this is a photo of {_article(self.name)} sensor. Use a photo"
                " of a Bayer camera."
            )


def _article(name: str) -> str:
    return f"{'an' if name.startswith('X') else 'a'} {name}"


def _side(colours: str) -> int:
    return 6 if len(colours) == 36 else 2


@lru_cache(maxsize=1)
def _kind_of_phase() -> dict[str, Kind]:
    """Return the kind of every phase of every kind."""
    phases: dict[str, Kind] = {}
    for kind, colours in KINDS.items():
        side = _side(colours)
        sites = range(side)
        for top in sites:
            for left in sites:
                letters = (colours[side * ((r + top) % side) + (c + left) % side] for r in sites for c in sites)
                phases["".join(letters)] = kind
    return phases


@lru_cache(maxsize=32)
def _class_of_site(colours: str) -> SiteArray:
    side, classes = _side(colours), CLASSES[_kind_of_phase()[colours]]
    names = list(colours)
    if "Gr" in classes:
        red_row = colours.index("R") // side
        green = [f"G{'r' if site // side == red_row else 'b'}" for site in range(len(names))]
        names = [green[site] if name == "G" else name for site, name in enumerate(names)]
    sites = np.array([classes.index(name) for name in names], np.intp).reshape(side, side)
    sites.flags.writeable = False
    return sites


CFAPattern.RGGB, CFAPattern.BGGR = CFAPattern("RGGB"), CFAPattern("BGGR")
CFAPattern.GRBG, CFAPattern.GBRG = CFAPattern("GRBG"), CFAPattern("GBRG")
CFAPattern.XTRANS, CFAPattern.MONO = CFAPattern(KINDS["xtrans"]), CFAPattern(KINDS["mono"])
BAYER_PHASES = (CFAPattern.RGGB, CFAPattern.BGGR, CFAPattern.GRBG, CFAPattern.GBRG)
"""The four phases of a Bayer mosaic."""
