"""Damaged, odd and hostile files: each is read or refused with one sentence that names it; none hangs or crashes us."""

from __future__ import annotations

import importlib.util
import re
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import DATA, ROOT
from small_photos import noisy_photo
from synthetic_dng import ASCII, BYTE, LONG, RATIONAL, SHORT, flat_frame, write_dng

from rawkd.errors import InputError, RawkdError, UnsupportedRawError
from rawkd.files.read import decode, decode_child, first_bytes, not_raw
from rawkd.files.read.containers import read_tag_tree
from rawkd.files.read.decode import Decoder
from rawkd.files.read.identify import identify
from rawkd.files.read.raw import read_raw
from rawkd.files.sanity import check_frame
from rawkd.files.write import dng
from rawkd.photo import Capture, Levels, Tag

UNSUPPORTED = {
    "canon-g1-cmyg.crw": "four-colour",
    "canon-6d-linear-lossy.dng": "linear",
    "gopro-hero7.gpr": "GPR",
    "kodak-c330-yrgb.raw": "no header",
    "exiv2--IMG_1361.dng": "linear",
    "exiftool--Sigma.x3f": "Foveon",
    "exiftool--SigmaDP2.x3f": "Foveon",
    "mimick--sample.dng": "linear",
}
"""What each file that is sound, or at least says so, is refused as; every other one is damaged."""
BAD = sorted(path for folder in ("damaged", "refuse") for path in (DATA / folder).glob("*"))
MUTATIONS = 200


def refusal_of(path: Path, decoder: Decoder | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_raw(path, decoder=decoder, timeout_s=30)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    form = r"\S.*\S\. (Copy|Use|Give|Convert|Denoise|Check|Switch|Unpack) ([^.]|\.(?=\w))+\."
    assert re.fullmatch(form, text.removeprefix(f"{path}: ")), (
        f"not of the form 'file: what is wrong. What to do.': {text}"
    )
    return caught.value


@pytest.mark.skipif(not BAD, reason="needs the files of ../shared/data")
@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_every_bad_file_is_refused_with_a_sentence(path: Path, decoder: Decoder) -> None:
    error = refusal_of(path, decoder)
    assert isinstance(error, UnsupportedRawError) == (path.name in UNSUPPORTED)
    assert UNSUPPORTED.get(path.name, "") in str(error)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("picture.jpg", b"\xff\xd8\xff\xe0" + bytes(200), "JPEG"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(200), "PNG"),
        ("notes.txt", b"Dear diary, today I took a photo." * 9, "text"),
        ("short.dng", b"hi", "this is a text file, not a raw file"),
        ("umlauts.dng", "Grüße und ein Bild von gestern aus München, schön 写真".encode(), "a text"),
        ("wide.nef", "Grüße".encode("utf-16"), "a text"),
        ("empty.dng", b"", "empty"),
        ("zeros.nef", bytes(5000), "raw"),
        ("one.cr2", b"I", "raw"),
        ("big.dng", b"II+\0\x08\0\0\0" + bytes(64), "BigTIFF"),
        ("loop.dng", b"II*\0\x08\0\0\0" + b"\1\0\x4a\1\4\0\1\0\0\0\x08\0\0\0" + b"\x08\0\0\0", "raw"),
    ],
)
def test_what_is_no_raw_file(tmp_path: Path, decoder: Decoder, name: str, content: bytes, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert word in str(refusal_of(path, decoder))


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    assert "folder" in str(refusal_of(tmp_path))
    assert "no such file" in str(refusal_of(tmp_path / "missing.dng"))


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "link.dng"])
def test_the_standard_input_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """The decoder's process would open its own, and wait for it."""
    sound = write_dng(tmp_path / "sound.dng", flat_frame(64, 64))
    (tmp_path / "link.dng").symlink_to("/dev/stdin")
    name = str(tmp_path / name)  # which is `name` if that is absolute
    program = (
        "import sys; from pathlib import Path; from rawkd.files.read.raw import read_raw; from rawkd.errors import *\n"
        "try: read_raw(Path(sys.argv[1]), timeout_s=20)\nexcept InputError as error: print(error)"
    )
    with sound.open("rb") as stream:
        command = [sys.executable, "-c", program, name]
        done = subprocess.run(command, stdin=stream, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{name}: this is not a regular file. Give a raw file.\n"
    with pytest.raises(InputError, match="not a regular file"):
        identify(Path(name))


def test_a_link_to_a_photo_is_no_stream(tmp_path: Path, decoder: Decoder) -> None:
    write_dng(tmp_path / "sound.dng", flat_frame(64, 64))
    (tmp_path / "link.dng").symlink_to("sound.dng")
    assert read_raw(tmp_path / "link.dng", decoder=decoder).frame.shape == (64, 64)


def test_a_name_beyond_ascii(tmp_path: Path, decoder: Decoder) -> None:
    path = write_dng(tmp_path / "Größe 写真.dng", flat_frame(64, 64))
    assert read_raw(path, decoder=decoder).frame.shape == (64, 64)


def test_a_plain_tiff_is_no_raw_file(tmp_path: Path, decoder: Decoder) -> None:
    import tifffile

    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.full((64, 64, 3), 90, np.uint8), photometric="rgb")
    refusal_of(path, decoder)


def a_grey_tiff(path: Path, tags: dict[int, tuple[int, object]] | None = None, **options: object) -> Path:
    """A TIFF of a mosaic as programs save it that know no raw files; `tags` by number: type and value."""
    import tifffile

    extra = [(number, kind, 0 if kind == ASCII else 2, value, True) for number, (kind, value) in (tags or {}).items()]
    frame = flat_frame(96, 128)
    pages = np.stack([frame] * int(str(options.pop("pages", 1)))).squeeze()
    tifffile.imwrite(path, pages, extratags=extra, **({"photometric": "minisblack"} | options))
    return path


PLAIN_TIFFS = {
    "grey": {},
    "white is zero": {"photometric": "miniswhite"},
    "big-endian": {"byteorder": ">"},
    "tiled": {"tile": (64, 64)},
    "deflate": {"compression": "deflate"},
    "PackBits": {"compression": "packbits"},
    "a stack": {"pages": 2},
    "four channels": {"pages": 4, "photometric": "separated", "planarconfig": "separate"},
    "a microscope": {"tags": {271: (ASCII, "Lab"), 272: (ASCII, "One")}},
    "edited": {"tags": {271: (ASCII, "Canon"), 272: (ASCII, "Canon EOS 5D")}},
    "a scanner": {"tags": {271: (ASCII, "Nikon"), 272: (ASCII, "LS-5000")}, "software": "Nikon Scan 4"},
    "filters unknown": {"photometric": 32803},
    "camera and filters unknown": {"photometric": 32803, "tags": {271: (ASCII, "Lab"), 272: (ASCII, "One")}},
}


@pytest.mark.parametrize("suffix", [".tif", ".raw", ".dng"])
@pytest.mark.parametrize("kind", PLAIN_TIFFS)
def test_a_tiff_without_the_tags_of_a_raw_is_refused(kind: str, suffix: str, tmp_path: Path, decoder: Decoder) -> None:
    """LibRaw reads most of them as RGGB with black 0, some as garbage."""
    told = str(refusal_of(a_grey_tiff(tmp_path / f"scan{suffix}", **PLAIN_TIFFS[kind]), decoder))
    is_marked = PLAIN_TIFFS[kind].get("photometric") == 32803
    assert ("does not state its colour filters" in told) == ("rawkd.photo_of" in told) == is_marked
    assert (
        told.endswith("this TIFF is a finished picture, not a raw file. Give the camera's own raw file.") != is_marked
    )


def test_a_tiff_that_states_its_filters_is_read(tmp_path: Path, decoder: Decoder) -> None:
    """The twin of the test above: raws that are no DNG state their mosaic by these tags."""
    tags = {33421: (SHORT, (2, 2)), 33422: (BYTE, bytes((2, 1, 1, 0)))}
    path = a_grey_tiff(tmp_path / "photo.nef", tags, photometric=32803)
    assert read_raw(path, decoder=decoder).pattern.name == "BGGR"


def test_a_mosaic_of_a_camera_that_libraw_knows_is_read(tmp_path: Path, decoder: Decoder) -> None:
    tags = {271: (ASCII, "Kodak"), 272: (ASCII, "DCS Pro 14N")}
    path = a_grey_tiff(tmp_path / "photo.dcr", tags, photometric=32803)
    assert read_raw(path, decoder=decoder).pattern.name == "GRBG"


@pytest.mark.parametrize("number", sorted(not_raw.FIELDS_OF_MAKERS))
def test_a_field_of_a_maker_marks_a_raw(number: int, tmp_path: Path) -> None:
    path = a_grey_tiff(tmp_path / "photo.mos", {number: (BYTE, (1, 2))})
    tree = read_tag_tree(path)
    assert tree is not None
    not_raw.refuse_plain_tiff(tree, path.read_bytes()[:64])


def test_a_header_of_phase_one_marks_a_raw(tmp_path: Path) -> None:
    path = a_grey_tiff(tmp_path / "photo.iiq")
    tree = read_tag_tree(path)
    assert tree is not None
    not_raw.refuse_plain_tiff(tree, b"II*\0\x10\0\0\0IIIITwaR")
    with pytest.raises(InputError, match="a finished picture"):
        not_raw.refuse_plain_tiff(tree, path.read_bytes()[:64])


def bare(path: Path, shape: tuple[int, int], dtype: type[np.unsignedinteger]) -> Path:
    """The numbers of a mosaic and nothing else, as `numpy.tofile` writes them."""
    path.write_bytes(np.random.default_rng(0).integers(60, 250, shape).astype(dtype).tobytes())
    return path


@pytest.mark.parametrize("suffix", [".raw", ".nef"])
@pytest.mark.parametrize(
    ("shape", "dtype", "value"),
    [
        ((1080, 1920), np.uint16, None),
        ((768, 1024), np.uint8, None),
        ((512, 768), np.uint16, None),
        ((1200, 1600), np.uint16, None),
        ((1536, 2048), np.uint16, None),
        ((480, 640), np.uint16, None),
        ((480, 640), np.uint8, None),
        ((480, 640), np.uint8, ord("I")),
        ((480, 640), np.uint8, ord("M")),
        ((1080, 1920), np.uint16, int.from_bytes(b"II")),
        ((1080, 1920), np.uint16, int.from_bytes(b"MM")),
    ],
    ids=str,
)
def test_a_dump_without_a_header_is_refused(
    shape: tuple[int, int],
    dtype: type[np.unsignedinteger],
    value: int | None,
    suffix: str,
    tmp_path: Path,
    decoder: Decoder,
) -> None:
    """LibRaw takes each for another camera by its length: as GBRG, as 1024 x 768, as damaged, as YRGB.

    Some begin with II or MM, as a TIFF does.
    """
    path = bare(tmp_path / f"dump{suffix}", shape, dtype)
    if value is not None:
        path.write_bytes(np.full(shape, value, dtype).tobytes())
    error = refusal_of(path, decoder)
    assert isinstance(error, UnsupportedRawError)
    assert "no header" in str(error)
    assert "rawkd.photo_of" in str(error)


def test_packed_dumps_of_a_phone_are_refused_and_of_a_hacked_camera_read(tmp_path: Path, decoder: Decoder) -> None:
    """Borders of unused pixels tell a PowerShot A460; 10 bits of 4608 x 3456 pixels may be of any sensor."""
    assert "no header" in str(refusal_of(bare(tmp_path / "phone.raw", (19906560, 1), np.uint8), decoder))
    photo = read_raw(bare(tmp_path / "hacked.crw", (6553440, 1), np.uint8), decoder=decoder)
    assert photo.frame.shape == (1968, 2664)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.npy", b"\x93NUMPY\1\0"),
        ("f.fits", b"SIMPLE  =                    T"),
        ("f.h5", b"\x89HDF\r\n"),
        ("f.mat", b"MATLAB 5.0 MAT-file"),
        ("f.pgm", b"P5 640 480 65535\n"),
        ("line.bin", bytes(range(40, 90)) * 2),
    ],
)
def test_files_of_arrays_are_referred_to_the_python_api(
    name: str, content: bytes, tmp_path: Path, decoder: Decoder
) -> None:
    path = tmp_path / name
    path.write_bytes(content + bytes(3000))
    assert "or pass the mosaic as an array to rawkd.photo_of in Python." in str(refusal_of(path, decoder))


@pytest.mark.parametrize("start", [b"", b"P5", b"\n\r"])
def test_a_dark_dump_is_neither_text_nor_a_picture(start: bytes, tmp_path: Path, decoder: Decoder) -> None:
    path = tmp_path / "dump.raw"
    path.write_bytes(start + np.random.default_rng(0).integers(20, 90, (500, 500), np.uint8).tobytes()[len(start) :])
    told = str(refusal_of(path, decoder))
    assert told.endswith(
        "this is not a raw file that LibRaw can read, or it is damaged. Give the camera's own raw file."
    )


def boxes(brand: bytes, compatible: bytes) -> bytes:
    """The start of an ISO base media file."""
    return bytes((0, 0, 0, 24)) + b"ftyp" + brand + bytes(4) + compatible


HEIC = "this is a HEIC picture, not a raw file. Switch on raw (DNG) in the camera app."
FILM = "this is a film, not a raw file. Give a raw photo."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        *((boxes(brand, b"mif1heic"), HEIC) for brand in (b"heic", b"heix", b"mif1")),
        *((boxes(brand, b"isommp41"), FILM) for brand in (b"qt  ", b"isom", b"mp42")),
        (boxes(b"avif", b"mif1miaf"), HEIC.replace("a HEIC", "an AVIF")),
        (boxes(b"mif1", b"mif1avif"), HEIC.replace("a HEIC", "an AVIF")),
        (bytes((0, 0, 0, 8)) + b"wide" + bytes(4) + b"mdat", FILM),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", FILM),
        (b"\x89PNG\r\n\x1a\n", "this is a PNG picture, not a raw file. Give the camera's own raw file."),
        (b"PK\3\4\x14\0", "this is a ZIP archive (such as EIP or NPZ), not a raw file. Unpack it and give the raw files"
         " in it."),
    ],
)  # fmt: skip
def test_pictures_films_and_archives_are_named(content: bytes, sentence: str, tmp_path: Path, decoder: Decoder) -> None:
    path = tmp_path / "IMG_1.dng"
    path.write_bytes(content + bytes(3000))
    assert str(refusal_of(path, decoder)) == f"{path}: {sentence}"


def test_a_damaged_cr3_is_not_taken_for_a_film() -> None:
    assert first_bytes.why_not_raw(boxes(b"crx ", b"crx isom")) is None


@pytest.mark.parametrize("space", [b" ", b"\t", b"\n", b"\r"])
def test_a_pgm_picture_is_named(space: bytes) -> None:
    assert "a PGM picture" in str(first_bytes.why_not_raw(b"P5" + space + b"640 480 65535"))


def test_a_text_of_lines_is_no_array() -> None:
    told = str(first_bytes.why_not_raw(b"\tDear diary,\r\n\x1b[1mtoday\x1b[0m"))
    assert "a text file" in told
    assert "photo_of" not in told


def test_a_cut_file_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    path = write_dng(tmp_path / "cut.dng", flat_frame(400, 400))
    path.write_bytes(path.read_bytes()[: -400 * 400])
    refusal_of(path, decoder)


@pytest.mark.parametrize(
    "tags",
    [
        {50717: (LONG, 100)},  # white below black
        {50717: (LONG, 2**31)},
        {50713: (SHORT, (2, 2))},  # four blacks promised, one given
        {50713: (SHORT, (0, 0))},
        {50829: (LONG, (0, 0, 65, 64))},
        {50829: (LONG, (10, 10, 10, 20))},
        {50829: (LONG, (1, 2, 3))},
        {33422: (BYTE, (0, 1, 2, 1))},
        {33422: None},
    ],
    ids=str,
)
def test_tags_that_contradict_each_other(tmp_path: Path, decoder: Decoder, tags: dict) -> None:
    refusal_of(write_dng(tmp_path / "made.dng", flat_frame(64, 64), tags=tags), decoder)


def test_a_crop_that_leaves_the_picture_is_a_warning(tmp_path: Path, decoder: Decoder) -> None:
    tags = {50719: (RATIONAL, (70.0, 0.0)), 50720: (RATIONAL, (10.0, 10.0))}
    photo = read_raw(write_dng(tmp_path / "made.dng", flat_frame(64, 64), tags=tags), decoder=decoder)
    assert (photo.default_crop.height, photo.default_crop.width) == (64, 64)
    assert "default crop" in photo.warnings[0]


def levels_of(black: float, white: float = 16383) -> Levels:
    return Levels(np.full((1, 1), black), white, white, 14)


def night(black: float, sigma: float, shape: tuple[int, int] = (640, 960)) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.maximum(np.rint(rng.normal(black, sigma, shape)), 0).astype(np.uint16)


@pytest.mark.parametrize("black", [0, 2, 64, 512])
@pytest.mark.parametrize("sigma", [0.6, 2.0, 20.0])
def test_a_black_night_frame_is_honest(black: float, sigma: float) -> None:
    check_frame(night(black, sigma), levels_of(black))


@pytest.mark.parametrize("black", [0, 512])
@pytest.mark.parametrize("part", [1.0, 0.4, 0.15])
def test_dead_rows_are_caught(black: float, part: float) -> None:
    frame = night(black + 1000, 20)
    frame[round(frame.shape[0] * (1 - part)) :] = 0
    with pytest.raises(InputError, match="Copy it again"):
        check_frame(frame, levels_of(black))


def test_a_dead_block_is_caught_where_black_lies_above_0() -> None:
    frame = night(1000, 20)
    frame[:200, :200] = 0
    with pytest.raises(InputError, match="empty"):
        check_frame(frame, levels_of(512))


def test_garbage_above_white_is_caught_and_hot_pixels_are_not() -> None:
    frame = night(600, 20)
    frame[::100, ::100] = 65535
    check_frame(frame, levels_of(512))
    frame[:100] = np.random.default_rng(0).integers(0, 65536, (100, frame.shape[1]))
    with pytest.raises(InputError, match="above white"):
        check_frame(frame, levels_of(512))


def test_a_decoder_that_hangs_costs_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    stuck = tmp_path / "stuck.py"
    stuck.write_text("import time\nprint('{\"ready\": true}', flush=True)\ntime.sleep(60)\n")
    with Decoder() as running:
        with monkeypatch.context() as patch:
            patch.setattr(decode, "CHILD", stuck)
            with pytest.raises(InputError, match="took longer than"):
                read_raw(path, timeout_s=0.3, decoder=running)
        assert read_raw(path, decoder=running).frame.shape == (64, 64)


def test_a_decoder_that_hangs_at_its_start_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    stuck = tmp_path / "stuck.py"
    stuck.write_text("import time\ntime.sleep(60)\n")
    with Decoder() as running:
        with monkeypatch.context() as patch:
            patch.setattr(decode, "CHILD", stuck)
            patch.setattr(decode, "START_TIMEOUT_S", 0.3)
            start = time.monotonic()
            with pytest.raises(RawkdError, match=r"not ready after 0\.3 s") as caught:
                read_raw(path, decoder=running)
            assert time.monotonic() - start < 30  # half of the child's sleep: it was not waited for
        assert not isinstance(caught.value, InputError)
        assert read_raw(path, decoder=running).frame.shape == (64, 64)


def a_child_that_prints(folder: Path, text: str) -> Path:
    """The decoder's script, its LibRaw printing `text`, in which PATH stands for the file's name."""
    script = folder / "prints.py"
    script.write_text(
        "import importlib.util, os, sys\n"
        f"spec = importlib.util.spec_from_file_location('decode_child', {decode_child.__file__!r})\n"
        "child = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(child)\n"
        "opened = child._open\n"
        "def open_(raw, path):\n"
        f"    os.write(2, {text!r}.replace('PATH', path).encode())\n"
        "    opened(raw, path)\n"
        "child._open = open_\n"
        "sys.exit(child.main())\n"
    )
    return script


@pytest.mark.parametrize("text", ["PATH: note: unknown tag 0x1234\n", "x" * 5000 + "\n\n", "data corrupted? no\n"])
def test_a_note_of_the_decoder_is_a_warning(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a name with the words of a damage, which stand in the decoder's text
    path = write_dng(tmp_path / "data corrupted at 7", flat_frame(64, 64))
    quiet = read_raw(path)
    monkeypatch.setattr(decode, "CHILD", a_child_that_prints(tmp_path, text))
    photo = read_raw(path)
    assert (photo.frame == quiet.frame).all()
    (warning,) = set(photo.warnings) - set(quiet.warnings)
    assert warning.startswith("the raw decoder printed a warning (")
    assert str(path) not in warning
    assert text[6:18] in warning
    assert len(warning) < 300


@pytest.mark.parametrize(
    "text",
    [
        "PATH: Unexpected end of file\n",
        "unknown file: data corrupted at 1378\n",
        "a note first\n" * 100 + "PATH: data corrupted at 5\nand one after\n",
        "Corrupt JPEG data: premature end of data segment\n",
    ],
)
def test_a_decoder_that_finds_damage_refuses_the_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LibRaw returns a frame all the same, zeros where the file ends."""
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    monkeypatch.setattr(decode, "CHILD", a_child_that_prints(tmp_path, text))
    with pytest.raises(InputError, match="truncated or damaged"):
        read_raw(path)


@pytest.mark.parametrize(
    "last_words",
    [
        "",
        "print('{\"shape\": [64', end='', flush=True)",
        "print('{\"shape\": [64, 64]}', flush=True)",
        "print('mad', flush=True)",
        "print('5', flush=True)",
        "print('[1]', flush=True)",
    ],
)
def test_a_decoder_that_crashes_costs_its_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_words: str
) -> None:
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    dying = tmp_path / "dying.py"
    dying.write_text(f"import os\nprint('{{\"ready\": true}}', flush=True)\ninput()\n{last_words}\nos.abort()\n")
    with Decoder() as running:
        with monkeypatch.context() as patch:
            patch.setattr(decode, "CHILD", dying)
            with pytest.raises(InputError, match="crashes"):
                read_raw(path, decoder=running)
        assert read_raw(path, decoder=running).frame.shape == (64, 64)


def test_a_decoder_that_cannot_start_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    monkeypatch.setattr(decode, "CHILD", tmp_path / "missing.py")
    with pytest.raises(RawkdError, match="cannot be started") as caught:
        read_raw(path)
    assert not isinstance(caught.value, InputError)


def test_nothing_of_the_decoder_reaches_the_user(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        read_raw(data / "damaged" / "exiftool--FujiFilm.raf")  # LibRaw prints "Unexpected end of file"
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate", ROOT / "benchmarks" / "mutate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mutated_copies_are_refused_or_read_and_written(tmp_path: Path, mutate: ModuleType) -> None:
    sources = [
        write_dng(tmp_path / "a.dng", flat_frame(100, 120), tags={50829: (LONG, (2, 2, 98, 118))}).read_bytes(),
        write_dng(tmp_path / "b.dng", flat_frame(64, 64), in_sub_ifd=True, byteorder=">").read_bytes(),
    ]
    tagged = tmp_path / "c.dng"
    exif = (
        Tag(33434, 5, 1, struct.pack("<II", 1, 125)),
        Tag(34855, 3, 1, struct.pack("<H", 800)),
        Tag(42036, 2, 3, b"EF\0"),
    )
    capture = Capture(exif=exif, gps=(Tag(1, 2, 2, b"N\0"), Tag(2, 5, 3, struct.pack("<6I", 48, 1, 8, 1, 0, 1))))
    photo = replace(noisy_photo(70, 80), capture=capture)
    dng.write_dng(tagged, photo, preview=None, software="test", noise_profile=(1e-3, 1e-6))
    sources.append(tagged.read_bytes())
    if DATA.is_dir():
        sources.append((DATA / "raw" / "kodak-dc50.kdc").read_bytes())
        sources.append((DATA / "raw" / "kodak-dc120-compressed.kdc").read_bytes())
    broken, outcomes = [], set()
    with Decoder() as running:
        for number in range(MUTATIONS):
            copy = tmp_path / "mutated.raw"
            copy.write_bytes(mutate.mutated(sources[number % len(sources)], np.random.default_rng([7, number])))
            result = mutate.outcome(copy, running, 20.0)
            outcomes.add(result)
            if result not in ("read", "damaged", "unsupported"):
                broken.append((number, result))
    assert not broken
    assert {"read", "damaged"} <= outcomes, "mutations that never or always hurt prove nothing"


def test_a_file_does_not_suffer_from_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that answers once and then dies stands for a memory error left behind by a damaged file."""
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    spoilt = tmp_path / "spoilt.py"
    spoilt.write_text(
        "import os\nprint('{\"ready\": true}', flush=True)\ninput()\n"
        'print(\'{"error": "LibRawIOError"}\', flush=True)\ninput()\nos.abort()\n'
    )
    with Decoder() as running:
        with monkeypatch.context() as patch:
            patch.setattr(decode, "CHILD", spoilt)
            with pytest.raises(InputError, match="damaged"):
                read_raw(path, decoder=running)
        assert read_raw(path, decoder=running).frame.shape == (64, 64)
