"""A place in a sidecar replaces that of EXIF, unless it is the same or impossible."""

from __future__ import annotations

import pytest
from exif_sidecars import OLD_PLACE, sidecar

from rawkd.files.tiff.tags import tag_numbers
from rawkd.files.xmp.capture import with_sidecar


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
