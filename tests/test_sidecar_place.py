"""A place in a sidecar replaces that of EXIF, unless it is the same or impossible."""

from __future__ import annotations

from html import escape

import pytest
from exif_sidecars import OLD_PLACE, TAKEN, sidecar
from hypothesis import given
from hypothesis import strategies as st

from rawkd.files.tiff.exif import exif_block
from rawkd.files.tiff.tags import tag_numbers
from rawkd.files.xmp.capture import with_sidecar
from rawkd.files.xmp.packet import parsed


def test_a_new_place_replaces_all_of_the_old_one() -> None:
    capture, warnings = with_sidecar(
        OLD_PLACE, sidecar(GPSLatitude="33,51.5S", GPSLongitude="151,12,36.1234W", GPSAltitude="25/10")
    )
    assert warnings == ()
    gps = {tag.number: tag for tag in capture.gps}
    assert {1: gps[1].data[:1], 3: gps[3].data[:1]} == {1: b"S", 3: b"W"}
    assert tag_numbers(gps[2]) == (33, 51, 30)
    assert tag_numbers(gps[4]) == pytest.approx((151, 12, 36.1234), abs=1e-9)
    assert tag_numbers(gps[6]) == (2.5,)
    assert sorted(gps) == [0, 1, 2, 3, 4, 5, 6, 7]  # the time stays, the precision of the old place goes


def test_the_same_place_keeps_the_fields() -> None:
    packet = sidecar(GPSLatitude="48,8.5000N", GPSLongitude="11,30.0001E")
    assert with_sidecar(OLD_PLACE, packet) == (OLD_PLACE, ())


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("48,8.5E", "11,30N"),
        ("48,8.5N", "11,30S"),
        ("48,99N", "11,30E"),
        ("48,60N", "11,30E"),
        ("48,8N", "11,30,60E"),
        ("48,8N", "180,0,1E"),
        ("\u0664\u0668,8.5N", "11,30E"),  # Arabic-Indic digits
        (f"48,8.{'3' * 5000}N", "11,30E"),
    ],
)
def test_an_impossible_place_is_named(latitude: str, longitude: str) -> None:
    warning = f"the place of the capture in the sidecar ({latitude} {longitude}) cannot be written as EXIF"
    packet = sidecar(GPSLatitude=latitude, GPSLongitude=longitude)
    assert with_sidecar(OLD_PLACE, packet) == (OLD_PLACE, (warning,))


@pytest.mark.parametrize(
    "altitude", ["12/00", "12/0", "0/0", "4294967296", "1/4294967296", "9" * 400, "9" * 5000 + "/1", "-3/1", "\u0663/1"]
)
def test_an_impossible_altitude_is_named(altitude: str) -> None:
    place = {"GPSLatitude": "33,51.5S", "GPSLongitude": "151,12W"}
    without, warnings = with_sidecar(OLD_PLACE, sidecar(**place))
    assert (warnings, [tag.number for tag in without.gps]) == ((), [0, 1, 2, 3, 4, 7])
    warning = f"the altitude of the capture in the sidecar ({altitude}) cannot be written as EXIF"
    assert with_sidecar(OLD_PLACE, sidecar(**place, GPSAltitude=altitude)) == (without, (warning,))


@pytest.mark.parametrize(("altitude", "metres"), [("4294967295/1", 2**32 - 1), ("0", 0), ("5203/10", 520.3)])
def test_a_possible_altitude_is_written(altitude: str, metres: float) -> None:
    packet = sidecar(GPSLatitude="89,59,59.99999N", GPSLongitude="180,0E", GPSAltitude=altitude)
    capture, warnings = with_sidecar(TAKEN, packet)
    gps = {tag.number: tag for tag in capture.gps}
    assert (tag_numbers(gps[2]), tag_numbers(gps[6]), warnings) == ((90, 0, 0), (metres,), ())


def texts_like(pattern: str) -> st.SearchStrategy[str]:
    """Texts of a form, and any others that XML can hold."""
    others = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
    return st.from_regex(pattern, fullmatch=True) | others


DATES = texts_like(r"\d{4}[-:]\d\d[-:]\d\d[T ]\d\d:\d\d(:\d\d(\.\d*)?)?(Z|[+-]\d\d:\d\d)?")
COORDINATES = texts_like(r"\d{1,3},\d{1,2}(\.\d*)?(,\d{1,2}(\.\d*)?)?[NSEW]")
ALTITUDES = texts_like(r"-?(\d{1,4}|9{9,12}|9{400})(/(0{1,2}|\d{1,4}|9{9,12}))?")


@given(DATES, COORDINATES, COORDINATES, ALTITUDES)
def test_no_text_of_a_sidecar_ends_a_photo(date: str, latitude: str, longitude: str, altitude: str) -> None:
    values = {"DateTimeOriginal": date, "GPSLatitude": latitude, "GPSLongitude": longitude, "GPSAltitude": altitude}
    for more in (values, {**values, "GPSLatitude": "33,51.5S", "GPSLongitude": "151,12W"}):
        packet = sidecar(**{name: escape(text) for name, text in more.items()})
        parsed(packet)  # else it would be tested that no XML changes nothing
        capture, _ = with_sidecar(OLD_PLACE, packet)
        exif_block(capture, (8, 8), "test", strip_location=False, limit_bytes=60_000)
        assert all(tag.data.isascii() for tag in capture.exif)
