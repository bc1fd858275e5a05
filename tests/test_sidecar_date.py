"""A time in a sidecar replaces that of EXIF only where it states another one, and a possible one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exif_sidecars import TAKEN, sidecar, texts

from rawkd.files.tiff.ifd import ascii_text
from rawkd.files.xmp.capture import with_sidecar
from rawkd.photo import Capture


@pytest.mark.parametrize(
    ("date", "wanted"),
    [
        ("2021-07-08T09:10:11", {36867: "2021:07:08 09:10:11"}),
        ("2021-07-08T09:10:11.50+02:00", {36867: "2021:07:08 09:10:11", 37521: "50", 36881: "+02:00"}),
        ("2021-07-08T09:10Z", {36867: "2021:07:08 09:10:00", 36881: "+00:00"}),
        ("2021:07:08 09:10:11.000", {36867: "2021:07:08 09:10:11", 37521: "000"}),
    ],
)
def test_a_corrected_time(date: str, wanted: dict[int, str]) -> None:
    capture, warnings = with_sidecar(TAKEN, sidecar(DateTimeOriginal=date))
    assert warnings == ()
    digitized = {{36867: 36868, 37521: 37522, 36881: 36882}[number]: text for number, text in wanted.items()}
    assert texts(capture) == {**wanted, **digitized, 42035: "Maker"}
    assert capture.datetime == wanted[36867]
    alone = replace(TAKEN, exif=TAKEN.exif[:1])
    assert texts(with_sidecar(alone, sidecar(DateTimeOriginal=date))[0]) == wanted


@pytest.mark.parametrize(
    "date",
    [
        "2020-01-02T03:04:05",
        "2020:01:02 03:04:05.120",
        "2020-01-02T03:04:05+01:00",
        "2020-01-02T03:04",  # without the seconds that EXIF has
        "2020-01-02T03:04+01:00",
        "2020-01-02T02:04:05Z",  # the same instant
        "2020-01-02T02:04Z",
        "2020-01-01T21:34:05-04:30",
    ],
)
def test_the_same_time_keeps_the_fields(date: str) -> None:
    assert with_sidecar(TAKEN, sidecar(DateTimeOriginal=date)) == (TAKEN, ())


def test_without_an_offset_in_exif_the_clock_counts() -> None:
    plain = replace(TAKEN, exif=tuple(tag for tag in TAKEN.exif if tag.number != 36881))
    for date in ("2020-01-02T03:04:05+09:00", "2020-01-02T03:04Z"):
        assert with_sidecar(plain, sidecar(DateTimeOriginal=date)) == (plain, ())
    assert with_sidecar(plain, sidecar(DateTimeOriginal="2020-01-02T02:04:05Z"))[0].datetime == "2020:01:02 02:04:05"


@pytest.mark.parametrize("date", ["2020-01-02T03:04:05+09:00", "2020-01-02T03:04+09:00"])
def test_the_same_clock_at_another_offset_changes_only_the_offset(date: str) -> None:
    capture, warnings = with_sidecar(TAKEN, sidecar(DateTimeOriginal=date))
    assert texts(capture) == {**texts(TAKEN), 36881: "+09:00", 36882: "+09:00"}
    assert (capture.datetime, warnings) == (TAKEN.datetime, ())


@pytest.mark.parametrize(
    "date",
    [
        "0000:00:00 00:00:00",
        "0000-00-00T00:00:00.000Z",
        "0001-01-01T00:00:00",
        "0001:01:01 00:00:00.000",
        "0000",
        ":  :",
    ],
)
def test_a_date_that_was_never_set_states_nothing(date: str) -> None:
    assert with_sidecar(TAKEN, sidecar(DateTimeOriginal=date)) == (TAKEN, ())


@pytest.mark.parametrize(
    "date",
    [
        "2024-99-99T99:99:99",
        "2023-02-29T10:20:37",
        "2024-05-01T24:00:00",
        "2024-05-01T10:20:37+24:00",
        "2024-05-01T10:20:37+02:60",
        "1601-01-01T00:00:00",
        "1825-12-31T23:59:59",
        "\u0662\u0660\u0662\u0664-05-01T10:20:37",  # Arabic-Indic digits
    ],
)
def test_an_impossible_date_is_named(date: str) -> None:
    warning = f"the time of the capture in the sidecar ({date}) cannot be written as EXIF"
    assert with_sidecar(TAKEN, sidecar(DateTimeOriginal=date)) == (TAKEN, (warning,))


@pytest.mark.parametrize("own", ["0000:00:00 00:00:00", "    :  :     :  :  ", "no date"])
def test_a_date_replaces_one_in_exif_that_states_nothing(own: str) -> None:
    capture = Capture(exif=(ascii_text(36867, own), ascii_text(36881, "   :  ")), datetime=own)
    found, warnings = with_sidecar(capture, sidecar(DateTimeOriginal="1826-01-01T10:20"))
    assert (texts(found), warnings) == ({36867: "1826:01:01 10:20:00"}, ())
