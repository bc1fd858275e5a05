"""Read raw files: LibRaw decodes the pixels in a child process, and the file's tags give their meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.cores import available_cores
from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.clip_level import with_measured_clip
from rawkd.files.read.color.dng import captions, kept_tags, no_color, read_color
from rawkd.files.read.color.fallback import Fallback, invertible, libraw_color, libraw_matrix
from rawkd.files.read.containers import read_tag_tree
from rawkd.files.read.decode import Decoder
from rawkd.files.read.decoded import DecodedFrame
from rawkd.files.read.dng_kind import is_dng, raw_ifd_of, refuse_multi_raw
from rawkd.files.read.first_bytes import why_not_raw
from rawkd.files.read.identify import SOFTWARE
from rawkd.files.read.maker.ciff import read_ciff
from rawkd.files.read.maker.fuji_ifd import with_blacks_of_raf
from rawkd.files.read.maker.keep import with_maker_notes
from rawkd.files.read.metadata import read_capture
from rawkd.files.read.not_raw import (
    KINDS_OF_SENSORS,
    naming_the_file,
    refuse_no_file,
    refuse_plain_tiff,
    refuse_unknown_filters,
)
from rawkd.files.sanity import check_frame, checked_levels
from rawkd.files.tiff import dng_tags
from rawkd.files.tiff.gain_opcodes import gain_maps, not_rendered
from rawkd.files.tiff.opcodes import bad_pixels, depends_on_stored_values
from rawkd.files.tiff.tags import Ifd, TagTree
from rawkd.files.tiff.tile_bands import bands_of
from rawkd.files.xmp.history import denoised_before, was_denoised
from rawkd.files.xmp.packet import XMP
from rawkd.photo import CFAPattern, ColorCalibration, Levels, RawPhoto, Rect
from rawkd.sensor.dual_iso import refuse_dual_iso

ORIENTATION = 274
ORIENTATION_OF_FLIP = {0: 1, 1: 2, 3: 3, 2: 4, 4: 5, 6: 6, 7: 7, 5: 8}
"""EXIF orientation for each LibRaw flip: bit 0 mirrors columns, bit 1 mirrors rows, bit 2 transposes."""
MIN_CAMERA_WHITE = 0.5


def read_raw(
    path: Path, *, timeout_s: float = 120.0, decoder: Decoder | None = None, threads: int | None = None
) -> RawPhoto:
    """Read any Bayer, X-Trans or monochrome raw file that LibRaw can decode.

    Parameters
    ----------
    path : the file. timeout_s : time limit of decoding, seconds.
    decoder : a running decoder to reuse when many files are read; None starts one.
    threads : CPU threads for a compressed DNG, None for all.

    Raises
    ------
    InputError: if the file is missing, unreadable, damaged, or not a raw file.
    UnsupportedRawError: if it is an intact raw file of a kind that rawkd cannot denoise.
    """
    with naming_the_file(path):
        refuse_no_file(path)
        if decoder is not None:
            return _read(path, timeout_s, decoder, threads)
        with Decoder() as own:
            own.start()  # its process loads LibRaw while the tags are read
            return _read(path, timeout_s, own, threads)


def _read(path: Path, timeout_s: float, decoder: Decoder, threads: int | None) -> RawPhoto:
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"FOVb"):
        raise UnsupportedRawError(
            f"this is a Foveon raw (X3F), and rawkd denoises {KINDS_OF_SENSORS} only. Use a raw file of another camera."
        )
    tree = read_tag_tree(path)
    if tree is not None:
        refuse_plain_tiff(tree, head)
        refuse_multi_raw(tree)
    raw = raw_ifd_of(tree) if tree is not None and is_dng(tree) else None
    bands = bands_of(path, tree, raw, threads or available_cores()) if tree is not None and raw is not None else None
    try:
        decoded = decoder.decode(path, timeout_s, bands)
    except InputError as error:
        if isinstance(error, UnsupportedRawError) or (told := why_not_raw(head)) is None:
            raise
        raise InputError(told) from error
    if tree is not None:
        refuse_unknown_filters(tree, knows_camera=invertible(libraw_matrix(decoded.header)))
    ciff = read_ciff(path) if tree is None else None
    if tree is not None and raw is not None:
        photo = _dng_photo(decoded, tree, raw)
    else:
        make_model = ("", "") if ciff is None else ciff.make_model()
        photo = with_blacks_of_raf(_other_photo(decoded, tree, make_model), path)
    refuse_dual_iso(photo)
    photo = with_maker_notes(photo, path, tree, ciff, decoded.header)
    return replace(photo, warnings=photo.warnings + decoded.warnings)


def _dng_photo(decoded: DecodedFrame, tree: TagTree, raw: Ifd) -> RawPhoto:
    """Return the photo of a DNG: pixels from LibRaw, everything else from the tags."""
    frame, header = decoded.frame, decoded.header
    size = (raw.number(dng_tags.HEIGHT), raw.number(dng_tags.WIDTH))
    if frame.shape != size:
        raise InputError(
            f"the file is damaged: LibRaw finds {frame.shape} pixels, its tags state {size}. {dng_tags.USE_COPY}"
        )
    area = dng_tags.active_area(raw)
    crop, user_crop, crop_warnings = dng_tags.crops(raw, area)
    pattern = dng_tags.cfa_pattern(raw)
    levels = dng_tags.levels(raw, area, _bits_of(decoded), pattern.side)
    check_frame(frame[area.slices], levels)
    if pattern.kind == "mono":
        color, color_warnings = no_color(tree, raw)
    else:
        color, color_warnings = read_color(tree, raw, Fallback(libraw_matrix(header)))
    profile, profile_warnings = dng_tags.noise_profile(tree, raw)
    tags, dropped = kept_tags(tree, raw)
    all_tags = {**tree.main.tags, **raw.tags}
    defects, defect_warnings = bad_pixels(all_tags, frame, area)
    maps, map_warnings = gain_maps(all_tags, area)
    orientation = int(tree.main.number(ORIENTATION) or 1)
    warnings = crop_warnings + color_warnings + profile_warnings + defect_warnings + map_warnings
    return RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=crop,
        user_crop=user_crop,
        pattern=pattern,
        levels=with_measured_clip(levels, frame[area.slices], pattern),
        color=color,
        capture=read_capture(tree, header),
        orientation=orientation if orientation in range(1, 9) else 1,
        pixel_aspect=dng_tags.pixel_aspect(raw),
        noise_profile=profile,
        tags=tags,
        is_dng=True,
        dng_version=dng_tags.dng_version(tree),
        warnings=denoised_before(tree.main.text(SOFTWARE), tree.main.tags.get(XMP)) + warnings,
        was_denoised=was_denoised(tree.main.tags.get(XMP)),
        dropped=dropped,
        defects=defects,
        scale_is_fixed=depends_on_stored_values(tags),
        gain_maps=maps,
        not_rendered=not_rendered(all_tags),
    )


def _other_photo(decoded: DecodedFrame, tree: TagTree | None, make_model: tuple[str, str]) -> RawPhoto:
    """Return the photo of a file that is not a DNG: LibRaw gives pixels, levels and colour."""
    frame, header = decoded.frame, decoded.header
    pattern = _pattern_of(header)
    top, left, height, width = header["area"]
    if min(height, width) < 1 or top + height > frame.shape[0] or left + width > frame.shape[1]:
        raise InputError("the file is damaged: its picture extends beyond its frame. Use another copy of the file.")
    area = Rect(top, left, height, width)
    levels = libraw_levels(decoded, pattern)
    check_frame(frame[area.slices], levels)
    color, warnings = libraw_color(header) if pattern.kind != "mono" else (ColorCalibration.none(), ())
    return RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=_libraw_crop(header["crop"], area),
        pattern=pattern,
        levels=with_measured_clip(levels, frame[area.slices], pattern),
        color=color,
        capture=read_capture(tree, header, make_model),
        orientation=ORIENTATION_OF_FLIP.get(header["flip"], 1),
        pixel_aspect=dng_tags.valid_aspect(float(header["pixel_aspect"])),
        tags=() if tree is None else captions(tree),
        warnings=warnings,
    )


def _pattern_of(header: dict[str, Any]) -> CFAPattern:
    """Return the CFA phase from LibRaw's colour indices of the sites at the active area's origin."""
    if header["colors"] == 1:
        return CFAPattern.MONO
    color_desc, sites = header["color_desc"], header["sites"]
    if set(color_desc) - set("RGB"):
        raise UnsupportedRawError(
            f"this is a four-colour mosaic ({color_desc}), and rawkd denoises {KINDS_OF_SENSORS} only. Use another raw"
            " file."
        )
    name = "".join(color_desc[site] if 0 <= site < len(color_desc) else "?" for site in sites)
    try:
        return CFAPattern(name)
    except ValueError:
        if len(sites) == CFAPattern.XTRANS.side**2:
            raise InputError(
                f"its X-Trans cell cannot be read: {name} is not an X-Trans pattern. Use another copy of the file."
            ) from None
        raise UnsupportedRawError(
            f"its mosaic {name!r} is not a Bayer cell (Super-CCD or similar), and rawkd denoises {KINDS_OF_SENSORS}"
            " only. Use another raw file."
        ) from None


def libraw_levels(decoded: DecodedFrame, pattern: CFAPattern) -> Levels:
    """Return the levels of a file that is not a DNG.

    White is LibRaw's, so that converters render the result like the source. Saturation is white, or the camera's own
    clipping level if that is lower and at least half of white.
    """
    header = decoded.header
    white_dn = float(header["white"])
    indices = _black_indices(header["sites"]) or [0] * pattern.side**2
    black = np.array([header["black"][index] for index in indices], np.float64).reshape(pattern.side, pattern.side)
    camera = map(float, header["camera_white"] or [])
    clips = [white_dn, *(value for value in camera if MIN_CAMERA_WHITE * white_dn <= value < white_dn)]
    black = black if np.ptp(black) else black[:1, :1]
    return checked_levels(black, white_dn, min(clips), _bits_of(decoded, white_dn), cell_side=pattern.side)


def _black_indices(sites: list[int]) -> list[int]:
    """Return the index of each site's black in LibRaw's list of four: its colour index, and 3 for a second green."""
    if sites.count(1) != 2:
        return sites
    last = 3 - sites[::-1].index(1)
    return [*sites[:last], 3, *sites[last + 1 :]]


def _libraw_crop(crop: list[int], area: Rect) -> Rect:
    """Convert LibRaw's crop from pixels of the frame to pixels of the active area; the whole area if it is unusable."""
    top, left, height, width = crop[0] - area.top, crop[1] - area.left, *crop[2:]
    if height > 0 and width > 0 and top >= 0 and left >= 0:
        wanted = Rect(top, left, height, width)
        if wanted.inside(area.height, area.width):
            return wanted
    return Rect(0, 0, area.height, area.width)


def _bits_of(decoded: DecodedFrame, white_dn: float = 1.0) -> int:
    """Return the number of bits that the frame's integers and the white level need."""
    return min(16, max(int(decoded.frame.max()).bit_length(), int(white_dn).bit_length(), 1))
