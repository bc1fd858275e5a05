"""What was done to the pixels of a photo, as its file states it."""

from __future__ import annotations

from rawkd.files.xmp.treatment import Treatment
from rawkd.restore.pipeline import Restoration

LEAST_VARIANCE_LEFT = 0.01
"""Least remaining share of the noise variance for which a NoiseProfile is written (our choice)."""


def treatment_of(restoration: Restoration, software: str) -> Treatment | None:
    """Return what was done to a photo, or None if its pixels are those of the source.

    Parameters
    ----------
    software : name and version of the program.
    """
    if restoration.student is None and not restoration.defects and not restoration.rows:
        return None
    noise, options = restoration.noise, restoration.options
    return Treatment(
        software,
        model=restoration.student,
        weights_sha256=restoration.weights_sha256,
        precision=restoration.precision,
        ensemble=options.ensemble,
        strength=options.strength,
        luma=options.luma,
        chroma=_chroma_of(restoration),
        noise=noise.source if noise.known else None,
        gain=noise.green_gain if noise.known else None,
        read_variance=noise.green_read_variance if noise.known else None,
        defects=restoration.defects,
        rows=restoration.rows,
    )


def profile_left(restoration: Restoration) -> tuple[float, ...]:
    """Return the NoiseProfile (tag 51041) of the result: (S, O) pairs of R, G, B; empty to omit the tag.

    If a fraction s of the noise is removed, the standard deviation is 1 - s times the original, so S and O are
    (1 - s)^2 times those of the input. s is the strength for luma or chroma, whichever keeps more noise. The tag is
    omitted below 1 % of the variance, since the residual of the network is not Poisson-Gaussian, and if the noise was
    only assumed from the ISO. Our choice.
    """
    options = restoration.options
    if options.keeps_everything or restoration.student is None:
        return restoration.photo.noise_profile
    left = (1 - options.strength * min(options.luma, _chroma_of(restoration))) ** 2
    if left < LEAST_VARIANCE_LEFT:
        return ()
    noise = restoration.noise.for_cfa(restoration.photo.pattern)
    if noise.source == "iso":
        return ()
    return tuple(left * value for pair in noise.pairs for value in pair)


def _chroma_of(restoration: Restoration) -> float:
    """Return the part of the chroma noise that was removed; that of luma for monochrome, which has no other noise."""
    options = restoration.options
    return options.luma if restoration.photo.pattern.kind == "mono" else options.chroma
