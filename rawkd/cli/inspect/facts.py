"""What is known about a photo in plain values: the JSON of `rawkd inspect`, from which its text is made, too."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.files.read.camera_settings import CameraSettings, read_settings
from rawkd.files.read.decode import Decoder
from rawkd.files.read.maker.lens import lens_name
from rawkd.files.read.not_raw import refuse_no_photo
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.dng_tags import NOISE_REDUCTION_APPLIED
from rawkd.files.tiff.tags import tag_numbers
from rawkd.files.write.drawing import refuse_plot, write_drawing
from rawkd.files.xmp.history import past_of
from rawkd.files.xmp.packet import XMP
from rawkd.inference.students import NoModelOfKindError, choose_student, load_family
from rawkd.photo import NAMES_OF_KINDS, RawPhoto, camera_name
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Prepared, prepare
from rawkd.sensor.defects import unknown_defects
from rawkd.sensor.estimate_warnings import if_nothing_is_removed
from rawkd.sensor.noise_figures import MID_GREY, SHADOWS, equivalent_iso, signal_to_noise
from rawkd.sensor.rows import measure_rows

Record = dict[str, Any]


def facts_of(
    path: Path, model: str | None, decoder: Decoder, *, plot: Path | None = None, overwrite: bool = False
) -> tuple[Record, tuple[str, ...]]:
    """Return everything that is known about a photo, in plain values, and warnings.

    Parameters
    ----------
    model : tier, name or folder, None for the default. plot : where the noise is drawn, None for nowhere.

    Raises
    ------
    RawkdError: if the photo cannot be read, has no noise parameters, there is no such model, or the plot exists.
    """
    if plot is not None:
        refuse_no_photo(path)
        refuse_plot(plot, (path,), overwrite=overwrite)
    photo = read_raw(path, decoder=decoder)
    prepared = prepare(photo, DenoiseOptions())
    if plot is not None:
        from rawkd.compare.noise_plot import noise_chart

        write_drawing(plot, noise_chart(photo, prepared.noise), overwrite=overwrite)
    try:
        card, choice_warnings = choose_student(load_family(model, photo.pattern.kind), prepared.noise)
        why_none = None if card else "nothing would be removed"
    except NoModelOfKindError as error:
        card, choice_warnings = None, (str(error),)
        why_none = f"there is no model for {NAMES_OF_KINDS[photo.pattern.kind]} photos"
    settings = read_settings(path)
    record = {
        **_camera(path, photo, settings),
        **_sensor(photo),
        "noise": _noise(prepared, photo),
        "row_noise": _row_noise(photo),
        "known_defects": len(prepared.photo.defects),
        "found_defects": _found_defects(prepared),
        "student": None if card is None else card.name,
        "no_student": why_none,
        **_past(photo),
    }
    about_noise = prepared.noise_warnings if card else if_nothing_is_removed(prepared.noise_warnings)
    return record, prepared.warnings + about_noise + settings.warnings + choice_warnings


def _found_defects(prepared: Prepared) -> list[list[int]] | None:
    """Row and column in the frame of each defect that `rawkd denoise` would find; None if the noise is unknown."""
    if not prepared.noise.known:
        return None
    found: list[list[int]] = unknown_defects(prepared.photo, prepared.noise).tolist()
    return found


def _camera(path: Path, photo: RawPhoto, settings: CameraSettings) -> Record:
    """Who took it and how."""
    capture = photo.capture
    return {
        "input": str(path),
        "camera": camera_name(capture),
        "lens": lens_name(photo.capture.exif) or settings.lens or None,
        "shutter_count": settings.shutter_count,
        "iso": capture.iso,
        "real_iso": settings.real_iso,
        "exposure_s": capture.exposure_s,
        "aperture": capture.aperture,
        "focal_length_mm": capture.focal_length_mm,
        "datetime": capture.datetime,
        "noise_reduction": settings.noise_reduction or None,
        "long_exposure_noise_reduction": settings.long_exposure_noise_reduction or None,
    }


def _sensor(photo: RawPhoto) -> Record:
    """What the samples mean; arrays row by row."""
    levels, color, area, crop = photo.levels, photo.color, photo.active_area, photo.default_crop
    shown = photo.user_crop
    site_saturation = levels.site_saturation_dn
    return {
        "cfa": photo.pattern.name,
        "frame": [photo.frame.shape[1], photo.frame.shape[0]],
        "active_area": [area.left, area.top, area.width, area.height],
        "default_crop": [crop.left, crop.top, crop.width, crop.height],
        "user_crop": None if shown is None else [shown.left, shown.top, shown.width, shown.height],
        "orientation": photo.orientation,
        "pixel_aspect": photo.pixel_aspect,
        "bits": levels.bits,
        "black_dn": levels.black_dn.tolist(),
        "effective_black_dn": levels.effective_black_dn.tolist(),
        "white_dn": levels.white_dn,
        "saturation_dn": levels.saturation_dn,
        "site_saturation_dn": None if site_saturation is None else site_saturation.tolist(),
        "as_shot_neutral": color.as_shot_neutral.tolist(),
        "camera_from_xyz": color.camera_from_xyz.tolist(),
        "baseline_exposure": color.baseline_exposure,
        "noise_profile": list(photo.noise_profile),
    }


def _noise(prepared: Prepared, photo: RawPhoto) -> Record:
    """Noise parameters of the noise classes, and what they mean."""
    noise = prepared.noise
    return {
        "gain": noise.gain.tolist(),
        "read_variance": noise.read_variance.tolist(),
        "read_noise_dn": (np.sqrt(noise.read_variance) * photo.levels.range_dn).tolist(),
        "source": noise.source,
        "confidence": noise.confidence,
        "correlation": None if noise.correlation is None else list(noise.correlation),
        "snr_mid_grey": signal_to_noise(noise, MID_GREY),
        "snr_shadows": signal_to_noise(noise, SHADOWS),
        "full_frame_iso": equivalent_iso(noise),
    }


def _past(photo: RawPhoto) -> Record:
    """What was done to the photo before, by rawkd (the oldest first) and by others, as the file states it."""
    tags = {tag.number: tag for tag in photo.tags}
    past = past_of(tags[XMP].data if XMP in tags else b"")
    reduction = tag_numbers(tags[NOISE_REDUCTION_APPLIED]) if NOISE_REDUCTION_APPLIED in tags else ()
    return {
        "history": [asdict(treatment) for treatment in past.treatments],
        "noise_reduction_applied": reduction[0] if reduction else None,
        "marked_as_denoised": past.is_marked,
    }


def _row_noise(photo: RawPhoto) -> Record | None:
    """Noise that whole rows share; None where it cannot be measured."""
    rows = measure_rows(photo)
    if rows is None:
        return None
    return {"sd_dn": rows.row_sd_dn, "share_of_noise": rows.share, "source": rows.source, "shown": rows.shown}
