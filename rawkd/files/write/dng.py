"""Write a raw photo as a DNG that other programs open: its mosaic, or a linear (demosaiced) picture of it.

The layout is that of Adobe's converter, which every reader supports: IFD0 has the preview and the fields of the whole
photo, and a SubIFD has the raw frame in tiles of lossless JPEG. Without a preview, the raw frame is in IFD0.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rawkd.cores import available_cores
from rawkd.files.tiff.digest import NEW_RAW_IMAGE_DIGEST, raw_image_digest
from rawkd.files.tiff.exif import capture_directories, merged
from rawkd.files.tiff.ifd import OutputIfd, ascii_text, integers, long, rational, raw_bytes, short, write_tiff
from rawkd.files.tiff.tags import SUB_IFDS
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.dng_fields import main_fields, raw_fields
from rawkd.files.write.linear_fields import linear_fields, linear_warnings
from rawkd.files.write.private import without_private
from rawkd.files.write.raw_storage import stored
from rawkd.files.write.stored_frame import frame_to_store, frame_warnings, refuse_unstorable
from rawkd.files.write.xmp import packet_of, packet_with_treatment
from rawkd.files.xmp.treatment import Treatment
from rawkd.photo import LinearPicture, RawPhoto, Tag
from rawkd.photo.orientation import turned_back

PREVIEW_QUALITY = 88
JPEG, YCBCR, SRGB_PREVIEW = 7, 6, 2


def write_dng(
    path: Path,
    photo: RawPhoto,
    *,
    preview: NDArray[np.uint8] | None,
    linear: LinearPicture | None = None,
    overwrite: bool = False,
    strip_location: bool = False,
    strip_private: bool = False,
    software: str,
    noise_profile: tuple[float, ...] = (),
    xmp: bytes | None = None,
    treatment: Treatment | None = None,
    threads: int | None = None,
) -> tuple[str, ...]:
    """Write `photo` as a DNG of version 1.4, or of the source's version if that is higher.

    The frame is that of the source, cut where readers need it (`stored_frame`). Fields of the source that are still
    valid are kept. Digests, linearisation tables and previews are not. The file
    states a digest of its raw picture.

    Parameters
    ----------
    preview : (h, w, 3) uint8 sRGB, upright, at most about 2048 px, or None. It is stored in sensor orientation, since
        readers turn it by the photo's orientation.
    linear : the demosaiced photo, written instead of its mosaic; None for the mosaic.
    strip_location : leave out GPS and fields that may repeat it (IPTC, maker notes, location properties of the XMP).
    strip_private : leave out serial numbers, the owner's name and maker notes (`private`).
    software : name and version of the program, for the Software tag.
    noise_profile : (S, O) of one plane or of each plane, in signal units, for the NoiseProfile tag; empty for no tag.
    xmp : packet of a sidecar, whose properties replace those of the source's.
    treatment : what was done to the pixels, for the XMP history and NoiseReductionApplied; None if nothing was done.
    threads : number of threads for compression; None is one for each core that the process may use.

    Returns
    -------
    Warnings, one sentence each.

    Raises
    ------
    OutputError: if the file exists and `overwrite` is false, if it cannot be written, if it would exceed 4 GiB, or as
        `refuse_unstorable`.
    """
    refuse_unstorable(photo)
    source, photo = photo, frame_to_store(photo)
    with atomic_output(path, overwrite) as temporary:
        if strip_private:
            photo = without_private(photo)
        packet, left_out = packet_of(photo.tags, xmp, strip_location=strip_location, strip_private=strip_private)
        packet, warnings = packet_with_treatment(packet, treatment)
        warnings = left_out + warnings
        if photo.dropped:
            warnings = (f"not copied to the DNG: {', '.join(photo.dropped)}. Keep the original file.", *warnings)
        removed = 0.0 if treatment is None else treatment.noise_reduction
        with ThreadPoolExecutor(threads or available_cores()) as pool:
            samples = photo.frame if linear is None else linear.data
            storage, block_tags, blocks = stored(
                samples, pool, is_mosaic=linear is None and photo.pattern.kind != "mono"
            )
            digest = raw_bytes(NEW_RAW_IMAGE_DIGEST, raw_image_digest(samples, pool.map))
        if linear is None:
            raw = merged(storage, raw_fields(photo, noise_profile, removed))
            warnings += frame_warnings(source, photo)
        else:
            raw = merged(storage, linear_fields(photo, linear.white_dn, removed))
            warnings += linear_warnings(source)
        fields = main_fields(
            photo, software=software, packet=packet, noise_reduction=removed, strip_location=strip_location
        )
        main = merged(fields, [digest])
        directories = capture_directories(photo.capture, strip_location=strip_location)
        if preview is None:
            root = OutputIfd(merged(raw, main), directories, blocks, block_tags)
        else:
            picture, jpeg = _preview(turned_back(preview, photo.orientation), software)
            children = {SUB_IFDS: (OutputIfd(raw, {}, blocks, block_tags),), **directories}
            root = OutputIfd(merged(picture, main), children, (jpeg,))
        with temporary.open("wb") as stream:
            write_tiff(stream, root)
    return warnings


def _preview(rgb: NDArray[np.uint8], software: str) -> tuple[tuple[Tag, ...], bytes]:
    """Return the fields and the JPEG of the preview."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(stream, "JPEG", quality=PREVIEW_QUALITY, subsampling="4:2:0")
    height, width = rgb.shape[:2]
    fields = (
        long(254, [1]),
        integers(256, [width]),
        integers(257, [height]),
        short(258, [8, 8, 8]),
        short(259, [JPEG]),
        short(262, [YCBCR]),
        short(277, [3]),
        integers(278, [height]),
        short(284, [1]),
        short(530, [2, 2]),
        short(531, [1]),
        rational(532, [0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
        ascii_text(50966, software),
        long(50970, [SRGB_PREVIEW]),
    )
    return fields, stream.getvalue()
