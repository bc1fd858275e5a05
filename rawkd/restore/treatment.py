"""What was done to the pixels of a photo, as its file states it."""

from __future__ import annotations

from rawkd.files.xmp.treatment import Treatment
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Restoration


def treatment_of(restoration: Restoration, options: DenoiseOptions, software: str) -> Treatment | None:
    """Return what was done to a photo, or None if its pixels are those of the source.

    Parameters
    ----------
    software : name and version of the program.
    """
    if restoration.student is None and not restoration.defects and not restoration.rows:
        return None
    noise = restoration.noise
    return Treatment(
        software,
        model=restoration.student,
        weights_sha256=restoration.weights_sha256,
        precision=restoration.precision,
        ensemble=options.ensemble,
        strength=options.strength,
        luma=options.luma,
        chroma=options.chroma,
        noise=noise.source if noise.known else None,
        gain=noise.green_gain if noise.known else None,
        read_variance=noise.green_read_variance if noise.known else None,
        defects=restoration.defects,
        rows=restoration.rows,
    )
