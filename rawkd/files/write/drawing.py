"""Write line drawings as SVG or PNG.

Plots need only lines, dots and labels, so these primitives replace matplotlib (75 MB with its dependencies). Pillow,
which is a dependency anyway, draws the PNGs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rawkd.errors import UsageError
from rawkd.files.naming import refuse_to_overwrite
from rawkd.files.write.atomic import atomic_output
from rawkd.photo import DoubleArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FONT = "DejaVu Sans, Verdana, sans-serif"
PNG_SCALE = 2
"""Pixels of a PNG per unit of the drawing."""
SMOOTHING = 2
"""Oversampling along each axis before averaging, to avoid jagged lines."""
DASH = 6.0, 4.0


@dataclass(frozen=True, eq=False)
class Line:
    """A polyline. points : (n, 2), x to the right and y downwards; width in units of the drawing."""

    points: DoubleArray
    colour: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Dots:
    """Round dots of one colour. points : (n, 2) centres."""

    points: DoubleArray
    colour: str
    diameter: float = 2.0


@dataclass(frozen=True)
class Text:
    """A label; x, y is the reference point of its baseline. A turned label reads upwards."""

    x: float
    y: float
    text: str
    size: float = 11.0
    anchor: Literal["start", "middle", "end"] = "start"
    turned: bool = False


Item = Line | Dots | Text


@dataclass(frozen=True, eq=False)
class Drawing:
    """Items on a white background, later ones on top; width and height in units that a browser shows as pixels."""

    width: int
    height: int
    items: tuple[Item, ...]

    def svg(self) -> str:
        """Return the drawing as a self-contained SVG element."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}"'
            f' height="{self.height}" role="img" font-family="{FONT}">'
        )
        paper = f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>'
        return "\n".join([head, paper, *map(_svg_of, self.items), "</svg>\n"])

    def png(self) -> bytes:
        """Return the drawing as a PNG with `PNG_SCALE` pixels per unit along each axis."""
        from PIL import Image as Images
        from PIL import ImageDraw as Draws

        scale = PNG_SCALE * SMOOTHING
        image = Images.new("RGB", (self.width * scale, self.height * scale), "#ffffff")
        draw = Draws.Draw(image)
        for item in self.items:
            if isinstance(item, Line):
                for stroke in _strokes(item):
                    draw.line((stroke * scale).ravel().tolist(), item.colour, round(item.width * scale), "curve")
            elif isinstance(item, Dots):
                radius = item.diameter * scale / 2
                for x, y in (item.points * scale).tolist():
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), item.colour)
            else:
                _draw_text(image, draw, item, scale)
        image = image.resize((self.width * PNG_SCALE, self.height * PNG_SCALE), Images.Resampling.BOX)
        stream = BytesIO()
        image.save(stream, "PNG")
        return stream.getvalue()


def refuse_plot(path: Path, photos: Iterable[Path] = (), *, overwrite: bool) -> None:
    """Check the name of a plot of some photos before any work is done.

    Raises
    ------
    UsageError: if the suffix is neither .svg nor .png. OutputError: if it is one of the photos, the file exists, or its
        folder cannot be written.
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(
            f"{path}: a plot cannot be written as {path.suffix or 'a file without suffix'}. Use .svg or .png."
        )
    refuse_to_overwrite(path, overwrite=overwrite, photos=photos)


def write_drawing(path: Path, drawing: Drawing, *, overwrite: bool = False) -> None:
    """Write a drawing in the format that the suffix names.

    Raises
    ------
    UsageError: if the suffix is neither .svg nor .png. OutputError: if the file exists or cannot be written.
    """
    refuse_plot(path, overwrite=overwrite)
    data = drawing.svg().encode() if path.suffix.lower() == ".svg" else drawing.png()
    with atomic_output(path, overwrite) as temporary:
        temporary.write_bytes(data)


def below(drawings: tuple[Drawing, ...]) -> Drawing:
    """Stack drawings vertically."""
    items: list[Item] = []
    top = 0
    for drawing in drawings:
        items += [_moved(item, top) for item in drawing.items]
        top += drawing.height
    return Drawing(max(drawing.width for drawing in drawings), top, tuple(items))


def _moved(item: Item, down: float) -> Item:
    if isinstance(item, Line):
        return Line(item.points + np.array([0.0, down]), item.colour, item.width, item.dashed)
    if isinstance(item, Dots):
        return Dots(item.points + np.array([0.0, down]), item.colour, item.diameter)
    return Text(item.x, item.y + down, item.text, item.size, item.anchor, item.turned)


def _svg_of(item: Item) -> str:
    if isinstance(item, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in item.points.tolist())
        dash = f' stroke-dasharray="{DASH[0]:g} {DASH[1]:g}"' if item.dashed else ""
        return f'<polyline points="{points}" fill="none" stroke="{item.colour}" stroke-width="{item.width:g}"{dash}/>'
    if isinstance(item, Dots):  # round ends of lines without length
        moves = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in item.points.tolist())
        style = f'fill="none" stroke="{item.colour}" stroke-width="{item.diameter:g}" stroke-linecap="round"'
        return f'<path d="{moves}" {style}/>'
    turn = f' transform="rotate(-90 {item.x:.1f} {item.y:.1f})"' if item.turned else ""
    place = f'x="{item.x:.1f}" y="{item.y:.1f}" font-size="{item.size:g}" text-anchor="{item.anchor}"{turn}'
    return f'<text {place} fill="#333333">{escape(item.text)}</text>'


def _strokes(line: Line) -> list[DoubleArray]:
    """Return the dashes of a dashed polyline, or the whole polyline."""
    if not line.dashed or len(line.points) < 2:
        return [line.points]
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line.points, axis=0).T))])
    starts = np.arange(0, length[-1], sum(DASH))
    strokes = []
    for start in starts:
        stop = min(start + DASH[0], length[-1])
        along = np.concatenate([[start], length[(length > start) & (length < stop)], [stop]])
        strokes.append(np.stack([np.interp(along, length, line.points[:, axis]) for axis in (0, 1)], axis=1))
    return strokes


def _draw_text(image: Image, draw: ImageDraw, item: Text, scale: int) -> None:
    from PIL import Image as Images
    from PIL import ImageDraw as Draws
    from PIL import ImageFont

    font = ImageFont.load_default(item.size * scale)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
    if not item.turned:
        draw.text((item.x * scale, item.y * scale), item.text, "#333333", font, anchor)
        return
    length, reach = round(draw.textlength(item.text, font)) + 2, round(2 * item.size * scale)
    label = Images.new("L", (length, reach), 0)
    Draws.Draw(label).text((length / 2, reach / 2), item.text, 255, font, "ms")
    label = label.rotate(90, expand=True)
    offset = {"start": -length, "middle": -length // 2, "end": 0}[item.anchor]
    corner = round(item.x * scale - reach / 2), round(item.y * scale + offset)
    image.paste("#333333", (*corner, corner[0] + label.width, corner[1] + label.height), label)
