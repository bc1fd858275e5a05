"""How a photo was taken: fields of its file, camera and exposure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tag:
    """One TIFF field as the source file stores it.

    Attributes
    ----------
    number : tag number. type : TIFF type code (1..13). count : number of values.
    data : bytes of the values in little-endian order, exactly count * size of type.
    """

    number: int
    type: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Capture:
    """How the photo was taken; values that the file lacks are None or empty.

    Attributes
    ----------
    make, model : as the camera writes them. unique_camera_model : as Adobe spells it ("Canon EOS 6D").
    iso : exposure index. exposure_s : seconds. aperture : f-number. focal_length_mm : millimetres.
    datetime : "YYYY:MM:DD HH:MM:SS".
    exif, gps : EXIF and GPS fields of the source, without offsets and maker notes, which break when copied.
    """

    make: str = ""
    model: str = ""
    unique_camera_model: str = ""
    iso: float | None = None
    exposure_s: float | None = None
    aperture: float | None = None
    focal_length_mm: float | None = None
    datetime: str | None = None
    exif: tuple[Tag, ...] = ()
    gps: tuple[Tag, ...] = ()


def camera_name(capture: Capture) -> str:
    """Return make and model of the camera, without the make if the model begins with a word of it.

    Returns UniqueCameraModel (tag 50708) if make and model are missing, or an empty text if that is missing too.
    """
    make, model = capture.make.split(), capture.model.split()
    if model and model[0].lower() in [word.lower() for word in make]:
        make = []
    return " ".join(make + model) or " ".join(capture.unique_camera_model.split())
