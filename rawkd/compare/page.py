"""Write a comparison as one HTML file that works offline and contains neither author nor location of the photo."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from rawkd.compare.compare import Comparison, Picture
from rawkd.compare.crops import Crop
from rawkd.errors import InputError, UsageError
from rawkd.files.naming import refuse_to_overwrite
from rawkd.files.read.not_raw import refuse_no_photo
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.encoded import jpeg_bytes
from rawkd.photo import camera_name
from rawkd.process import SOFTWARE
from rawkd.report import shutter

PAGE_BYTES_MAX = 5_000_000
QUALITIES = 95, 90, 85, 80, 70, 60, 50
"""JPEG qualities to try, best first; a page uses the first that fits."""


def write_page(comparison: Comparison, path: Path, *, overwrite: bool = False) -> None:
    """Write the page of a comparison, at most 5 MB.

    Raises
    ------
    UsageError: if the crops do not fit. OutputError: if the file exists or cannot be written.
    """
    for quality in QUALITIES:
        page = page_of(comparison, quality).encode()
        if len(page) <= PAGE_BYTES_MAX:
            break
    else:
        raise UsageError(
            f"{path}: the crops make a page of {len(page) / 1e6:.1f} MB, too much for a browser."
            " Choose fewer or smaller ones."
        )
    with atomic_output(path, overwrite) as temporary:
        temporary.write_bytes(page)


def page_beside(photo: Path) -> Path:
    """Return the name of a photo's page if the user gives none.

    Raises
    ------
    InputError: if it is a folder without a name, such as . or /.
    """
    if not photo.name:
        raise InputError(f"{photo}: this is a folder. Give the raw files in it.")
    return photo.with_name(f"{photo.stem}-compare.html")


def refuse_names(page: Path, strip: Path | None, photo: Path, *, overwrite: bool) -> None:
    """Check the names of photo, page and strip (`rawkd.compare.compare.write_strip`) before any work is done.

    Raises
    ------
    InputError: if the photo is no file.
    UsageError: if a suffix is wrong. OutputError: if a name is the photo's, a file exists already, or its folder is not
    writable.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{page}: a comparison is an HTML page. Give a name that ends in .html.")
    if strip is not None and strip.suffix.lower() != ".png":
        raise UsageError(f"{strip}: a strip is a PNG. Give a name that ends in .png.")
    refuse_no_photo(photo)
    for output in (page, strip):
        if output is not None:
            refuse_to_overwrite(output, overwrite=overwrite, photos=(photo,))


def page_of(comparison: Comparison, quality: int) -> str:
    """Return the HTML of the page, its pictures embedded as JPEGs of the given quality, 1..100."""
    template = Template(files("rawkd.compare").joinpath("page.html").read_text(encoding="utf-8"))
    names = [version.name for version in comparison.versions]
    return template.substitute(
        title=safe(comparison.name),
        facts=safe(_facts(comparison)),
        software=safe(SOFTWARE),
        quality=quality,
        left=_choices(names, 0),
        right=_choices(names, min(1, len(names) - 1)),
        overview=_source(comparison.overview, quality),
        marks="\n".join(_mark(crop, number, comparison) for number, crop in enumerate(comparison.crops, 1)),
        views="\n".join(_view(comparison, number, quality) for number in range(len(comparison.crops))),
        chart=comparison.chart.svg(),
        settings=_rows(_settings(comparison)),
        timings=_timings(comparison),
        warnings="\n".join(f"<li>{safe(text)}</li>" for text in comparison.warnings) or "<li>none</li>",
    )


def safe(text: str) -> str:
    """Escape text for HTML; replace control, format and private-use characters."""
    shown = "".join("\ufffd" if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co") else sign for sign in text)
    return escape(shown)


def _facts(comparison: Comparison) -> str:
    """Return camera and exposure in one line, without values that the file does not state."""
    capture = comparison.capture
    facts = [
        camera_name(capture),
        f"ISO {capture.iso:g}" if capture.iso else "",
        shutter(capture.exposure_s) if capture.exposure_s else "",
        f"f/{capture.aperture:.2g}" if capture.aperture else "",
        f"{capture.focal_length_mm:.3g} mm" if capture.focal_length_mm else "",
        f"{comparison.width} x {comparison.height} pixels",
    ]
    return ", ".join(fact for fact in facts if fact)


def _settings(comparison: Comparison) -> dict[str, str]:
    noise, options = comparison.noise, comparison.options
    denoise = options.denoise
    gain, read_variance = noise.green_gain, noise.green_read_variance
    return {
        "noise of the greens": f"gain {gain:.4g}, read variance {read_variance:.4g}" if noise.known else "unknown",
        "source of the noise": f"{noise.source}, confidence {noise.confidence:.2f}",
        "strength, luma, chroma": f"{denoise.strength:g}, {denoise.luma:g}, {denoise.chroma:g}",
        "self-ensemble": f"{denoise.ensemble}",
        "hot and dead pixels replaced": f"{max(version.defects for version in comparison.versions)}",
        "rendering": f"{comparison.demosaic or 'grey'}, {options.exposure_ev:+g} EV, sRGB",
    } | {
        f"{version.name} ran on": f"{version.device or '-'}, {version.precision or '-'}"
        for version in comparison.versions[1:]
    }


def _rows(values: Mapping[str, str]) -> str:
    return "\n".join(f"<tr><th>{safe(name)}</th><td>{safe(value)}</td></tr>" for name, value in values.items())


def _timings(comparison: Comparison) -> str:
    """Return a row for each version: seconds of its steps, and megapixels per second of the network."""
    megapixels = comparison.width * comparison.height / 1e6
    rows = []
    for version in comparison.versions:
        text = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in version.seconds.items())
        if "denoise" in version.seconds:
            text += f" ({megapixels / max(version.seconds['denoise'], 1e-9):.1f} megapixels per second)"
        rows.append(f"<tr><th>{safe(version.name)}</th><td>{safe(text)}</td></tr>")
    return "\n".join(rows)


def _choices(names: Sequence[str], chosen: int) -> str:
    return "".join(
        f'<option value="{number}"{" selected" if number == chosen else ""}>{safe(name)}</option>'
        for number, name in enumerate(names)
    )


def _mark(crop: Crop, number: int, comparison: Comparison) -> str:
    """Return the frame of a crop in the overview, positioned in per cent."""
    rect = crop.rect
    place = {
        "left": rect.left / comparison.width,
        "top": rect.top / comparison.height,
        "width": rect.width / comparison.width,
        "height": rect.height / comparison.height,
    }
    style = ";".join(f"{side}:{100 * part:.3f}%" for side, part in place.items())
    return f'<a href="#crop-{number}" style="{style}" title="{safe(crop.why)}"><span>{number}</span></a>'


def _view(comparison: Comparison, index: int, quality: int) -> str:
    """Return the HTML of one crop: its versions stacked on top of each other, with a slider."""
    crop, number = comparison.crops[index], index + 1
    rect = crop.rect
    pictures = "".join(
        f'<img alt="{safe(version.name)}" data-version="{k}" width="{rect.width}" height="{rect.height}"'
        f' src="{_source(version.crops[index], quality)}">'
        for k, version in enumerate(comparison.versions)
    )
    where = f"{number}. {crop.why}" if not crop.why.startswith("crop ") else f"{number}."
    return (
        f'<figure id="crop-{number}"><figcaption>{safe(where)} <small>{rect.width} x {rect.height} pixels at'
        f" {rect.left}, {rect.top}</small></figcaption>"
        f'<div class="scroll"><div class="view" tabindex="0" role="slider" aria-label="{safe(where)}: share of the left'
        f' version" aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"'
        f' style="--w:{rect.width};--h:{rect.height}">'
        f'{pictures}<i class="bar"></i><b class="tag left"></b><b class="tag right"></b></div></div></figure>'
    )


def _source(picture: Picture, quality: int) -> str:
    return "data:image/jpeg;base64," + b64encode(jpeg_bytes(picture, quality)).decode("ascii")
