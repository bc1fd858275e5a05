"""The XMP history: nothing of a packet is lost, rawkd's entry can be read again, by us and by exiftool."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_photos import noisy_photo
from tiny_models import blur, make_model

from rawkd import __version__
from rawkd.cli import main
from rawkd.files.read.identify import identify
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.tags import TagTree, read_tiff
from rawkd.files.write.dng import write_dng
from rawkd.files.xmp.history import Past, past_of
from rawkd.files.xmp.merge import with_treatment
from rawkd.files.xmp.packet import parsed
from rawkd.files.xmp.treatment import Treatment
from rawkd.inference.card_file import read_card
from rawkd.photo import Tag
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Restoration
from rawkd.restore.treatment import treatment_of
from rawkd.sensor.noise import UNKNOWN_NOISE

TREATMENT = Treatment(
    "rawkd 1.2.3", "net", "ab" * 32, "f32", 2, 0.75, 1.0, 0.5, "blind, capped by ISO", 1.25e-3, 3e-6, 7, True
)
R = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MM, EVT = "http://ns.adobe.com/xap/1.0/mm/", "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
DT = "http://darktable.sf.net/"
LIGHTROOM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Other 1.0">
 <!-- a comment, and <![CDATA[ this is none ]]> -->
 <rdf:RDF xmlns:rdf="{R}">
  <rdf:Description rdf:about="uuid:1 &amp; 2" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:m="{MM}"
    xmlns:e='{EVT}' xmp:Rating="4" m:DocumentID="a&gt;b">
   <m:History><rdf:Seq>
     <rdf:li e:action="derived" e:parameters="a > b"/>
     <rdf:li rdf:parseType="Resource"><e:action>saved</e:action><e:softwareAgent>Editor 5</e:softwareAgent></rdf:li>
   </rdf:Seq></m:History>
   <unknown:thing xmlns:unknown="urn:x" unknown:order="2">ü é</unknown:thing>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
{" " * 300}
<?xpacket end="w"?>""".encode()


def rdf(body: str, head: str = "", prefix: str = "rdf") -> bytes:
    return f'{head}<{prefix}:RDF xmlns:{prefix}="{R}">{body}</{prefix}:RDF>'.encode()


ONE = "version='1.0'"

PACKETS = {
    "lightroom": LIGHTROOM,
    "no history": rdf('<rdf:Description rdf:about="" xmlns:dc="urn:dc" dc:a="1"/>'),
    "empty rdf": f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{R}" a="x>"/></x:xmpmeta>'.encode(),
    "empty history": rdf(f'<rdf:Description rdf:about="" xmlns:m="{MM}"><m:History/></rdf:Description>'),
    "empty list": rdf(f'<q:Description xmlns:q="{R}" xmlns:m="{MM}"><m:History><q:Seq /></m:History></q:Description>'),
    "bag": rdf(
        f'<rdf:Description xmlns:m="{MM}"><m:History><rdf:Bag><rdf:li/></rdf:Bag></m:History></rdf:Description>'
    ),
    "alternatives": rdf(
        f'<rdf:Description xmlns:m="{MM}"><m:History><rdf:Alt><rdf:li/></rdf:Alt></m:History></rdf:Description>'
    ),
    "two descriptions": rdf(
        '<rdf:Description rdf:about=""/>'
        f'<rdf:Description rdf:about="" xmlns:m="{MM}"><m:History><rdf:Seq/></m:History></rdf:Description>'
    ),
    "other prefix": rdf('<R:Description R:about="x"/>', prefix="R"),
    "history elsewhere": rdf(
        f'<rdf:Description rdf:about="" xmlns:m="{MM}" xmlns:y="urn:y"><y:DerivedFrom><rdf:Description><m:History>'
        "<rdf:Seq/></m:History></rdf:Description></y:DerivedFrom></rdf:Description>"
    ),
    "latin 1": rdf('<rdf:Description rdf:about="ü" xmlns:y="urn:y" y:a="é"/>', f"<?xml {ONE} encoding='latin1'?>")
    .decode()
    .encode("latin1"),
    "utf-16": LIGHTROOM.decode().encode("utf-16"),
    "utf-16 without mark": rdf('<rdf:Description rdf:about="" xmlns:y="urn:y" y:a="é"/>').decode().encode("utf-16-be"),
    "declared utf-16": rdf('<rdf:Description rdf:about=""/>', '<?xml version="1.0" encoding="UTF-16"?>')
    .decode()
    .encode("utf-16"),
    "nothing": b"",
    "zeros": bytes(64),
}


def is_subsequence(part: bytes, whole: bytes) -> bool:
    """Whether `whole` is `part` with bytes inserted."""
    rest = iter(whole)
    return all(byte in rest for byte in part)


@pytest.mark.parametrize("name", PACKETS)
def test_every_byte_of_the_packet_stays(name: str) -> None:
    packet = PACKETS[name]
    merged = with_treatment(packet, TREATMENT)
    assert past_of(merged) == Past((TREATMENT,), is_marked=True)
    histories = list(parsed(merged).iter(f"{{{MM}}}History"))
    assert all(len(history) <= 1 for history in histories)  # a property has one value
    twice = with_treatment(merged, replace(TREATMENT, software="rawkd 2"))
    assert [one.software for one in past_of(twice).treatments] == ["rawkd 1.2.3", "rawkd 2"]
    if packet.strip(b"\0"):
        slashes = packet.replace("/>".encode("utf-16-be"), b"").replace(b"/>", b">")  # an empty element gets an end tag
        assert is_subsequence(slashes if name.startswith("empty") or "two" in name else packet, merged)


def elements(packet: bytes) -> list[tuple[str, dict[str, str], str]]:
    """Name, attributes and text of every element but those that rawkd adds."""
    root = ElementTree.fromstring(packet)  # noqa: S314
    own = [one for one in root.iter() if one.get(f"{{{EVT}}}softwareAgent", "").startswith("rawkd ")]
    own += [one for one in root.iter() if one.get(f"{{{DT}}}neural_restore")]
    return [(one.tag, dict(one.attrib), (one.text or "").strip()) for one in root.iter() if one not in own]


def test_unrelated_content_means_the_same_and_lies_where_it_was() -> None:
    merged = with_treatment(LIGHTROOM, TREATMENT)
    assert elements(merged) == elements(LIGHTROOM)
    text = merged.decode()
    assert text.count("History>") == LIGHTROOM.decode().count("History>")  # one list with all entries, ours the last
    assert text.index("Editor 5") < text.index("rawkd 1.2.3") < text.index("</rdf:Seq>")
    assert text.count('rdf:about="uuid:1 &amp; 2"') == 2  # all descriptions of a packet are about the same thing
    assert text.endswith(" " * 300 + '\n<?xpacket end="w"?>')


def test_the_same_photo_gives_the_same_bytes() -> None:
    assert with_treatment(LIGHTROOM, TREATMENT) == with_treatment(LIGHTROOM, TREATMENT)
    assert b"stEvt:when" not in with_treatment(b"", TREATMENT)


def test_the_marker_of_darktable_says_that_noise_was_removed() -> None:
    fixed = replace(TREATMENT, model=None, weights_sha256=None, precision=None)
    packet = with_treatment(b"", fixed)
    assert b"darktable" not in packet
    assert not past_of(packet).is_marked
    assert past_of(packet).treatments[0].defects == 7
    marked = rdf(f'<rdf:Description rdf:about="" xmlns:d="{DT}" d:neural_restore="raw-denoise"/>')
    assert past_of(marked) == Past((), is_marked=True)
    assert with_treatment(marked, TREATMENT).count(b"neural_restore") == 1
    as_element = rdf(
        f'<rdf:Description xmlns:d="{DT}"><d:neural_restore>raw-denoise</d:neural_restore></rdf:Description>'
    )
    assert past_of(as_element).is_marked
    assert with_treatment(as_element, TREATMENT).count(b"neural_restore") == 2  # its start tag and its end tag


BROKEN = {
    "history of one entry": rdf(
        f'<rdf:Description xmlns:m="{MM}" xmlns:e="{EVT}"><m:History><rdf:Description e:action="saved"/></m:History>'
        "</rdf:Description>"
    ),
    "history elsewhere": rdf(f'<rdf:Description xmlns:m="{MM}"><m:History rdf:resource="urn:x"/></rdf:Description>'),
    "history of properties": rdf(
        f'<rdf:Description xmlns:m="{MM}" xmlns:e="{EVT}"><m:History rdf:parseType="Resource">'
        "<e:action>saved</e:action></m:History></rdf:Description>"
    ),
    "history as text": rdf(f'<rdf:Description xmlns:m="{MM}" m:History="saved"/>'),
    "no xml": b"no XML at all <rdf:RDF",
    "cut off": LIGHTROOM[:600],
    "no rdf": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    "undeclared prefix": b"<rdf:RDF></rdf:RDF>",
    "entities": b'<!DOCTYPE a [<!ENTITY b "cccc">]>' + rdf('<rdf:Description rdf:about="&b;"/>'),
    "unknown encoding": rdf("", '<?xml version="1.0" encoding="x-unheard-of"?>'),
    "half a character": "<a".encode("utf-16-le") + b"\x00\xd8",
    "utf-8 that is none": rdf("").replace(b"></", b">\xff</"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_xmp_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"XML|rdf:RDF|document type|decode|no list of entries"):
        with_treatment(BROKEN[name], TREATMENT)
    assert past_of(BROKEN[name]) == Past()


def tree_of(path: Path) -> TagTree:
    with path.open("rb") as stream:
        tree = read_tiff(stream)
    assert tree is not None
    return tree


@pytest.mark.parametrize("name", BROKEN)
def test_a_packet_that_nobody_can_read_is_kept_with_a_warning(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.dng"
    photo = noisy_photo(40, 50)
    warnings = write_dng(path, photo, preview=None, software="s", xmp=BROKEN[name], treatment=TREATMENT)
    assert tree_of(path).main.tags[700].data == BROKEN[name]
    (warning,) = warnings
    assert warning.startswith("the XMP of the photo cannot be read")
    assert warning.endswith("It is copied unchanged, without a note that rawkd denoised the photo.")
    assert write_dng(path, photo, preview=None, software="s", xmp=BROKEN[name], overwrite=True) == ()


def noise_reduction(path: Path) -> list[tuple[float, ...]]:
    """NoiseReductionApplied of IFD0 and of the raw directory."""
    main = tree_of(path).main
    return [ifd.numbers(50935) for ifd in (main, *main.sub)]


PREVIEW = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("treatment", "before", "expected"),
    [
        (None, None, ()),
        (None, (1, 2), (0.5,)),  # nothing was removed: the source's own is still true
        (replace(TREATMENT, model=None), (1, 2), (0.5,)),
        (replace(TREATMENT, strength=1.0, chroma=1.0), None, (1.0,)),
        (TREATMENT, None, (0.5625,)),  # 0.75 of the mean of 1 and 0.5
        (replace(TREATMENT, strength=1.0, luma=0.0, chroma=1.0), None, (0.5,)),
        (replace(TREATMENT, strength=0.5, chroma=1.0), (1, 2), (0.75,)),  # half of the half that the camera left
        (replace(TREATMENT, strength=0.5, chroma=1.0), (0, 0), (0.5,)),  # 0/0 says unknown
        (replace(TREATMENT, strength=0.5, chroma=1.0), (7, 1), (0.5,)),
    ],
)
def test_noise_reduction_applied(
    tmp_path: Path, treatment: Treatment | None, before: tuple[int, int] | None, expected: tuple[float, ...]
) -> None:
    tags = () if before is None else (Tag(50935, 5, 1, np.array(before, "<u4").tobytes()),)
    path = tmp_path / "a.dng"
    photo = replace(noisy_photo(40, 50), tags=tags)
    write_dng(path, photo, preview=PREVIEW, software="s", treatment=treatment)
    assert noise_reduction(path) == [expected, expected]
    write_dng(path, photo, preview=None, software="s", treatment=treatment, overwrite=True)
    assert noise_reduction(path) == [expected]
    kept = {tag.number for tag in read_raw(path).tags}
    assert (50935 in kept) == bool(expected)


@given(
    st.builds(
        Treatment,
        st.just("rawkd 1"),
        st.text("abc-1.", min_size=1, max_size=9),
        st.none() | st.just("12" * 32),
        st.sampled_from(["f32", "bf16", None]),
        st.sampled_from([1, 2, 4, 8]),
        *[st.integers(0, 100).map(lambda part: part / 100)] * 3,
        st.sampled_from([None, "given", "blind, capped by ISO"]),
        st.none() | st.just(1.25e-5),
        st.none() | st.just(0.0),
        st.integers(0, 10**6),
        st.booleans(),
    )
)
def test_parameters_and_back(treatment: Treatment) -> None:
    assert Treatment.parsed(treatment.software, treatment.parameters()) == treatment


def test_parameters_of_others_are_read_as_far_as_they_make_sense() -> None:
    found = Treatment.parsed("rawkd 9", "model=x; strength=nan; ensemble=many; future=1;;=; rows=perhaps")
    assert found == Treatment("rawkd 9", model="x")
    assert Treatment.parsed("rawkd 9", "") == Treatment("rawkd 9")


@pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")
def test_exiftool_reads_history_and_marker(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    packet = LIGHTROOM.replace(b"a > b", b"a &gt; b")  # exiftool is misled by the character itself
    write_dng(path, noisy_photo(40, 50), preview=None, software="s", xmp=packet, treatment=TREATMENT)
    command = ["exiftool", "-json", "-struct", "-n", "-XMP:all", "-NoiseReductionApplied", str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert found["History"][-1] == {
        "Action": "filtered",
        "Parameters": TREATMENT.parameters(),
        "SoftwareAgent": "rawkd 1.2.3",
    }
    assert [one["Action"] for one in found["History"]] == ["derived", "saved", "filtered"]
    assert (found["Rating"], found["DocumentID"]) == (4, "a>b")
    assert found["Neural_restore"] == "raw-denoise"
    assert found["NoiseReductionApplied"] == 0.5625


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "tiny", blur, subrange=[1e-6, 1e-1])
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = noisy_photo()
    write_dng(tmp_path / "a.dng", raw, preview=None, software="other", noise_profile=raw.noise_profile)
    return tmp_path / "a.dng"


def inspected(path: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> tuple[str, str, dict[str, Any]]:
    """Text and warnings of `rawkd inspect`, and its JSON."""
    assert main(["inspect", str(path), "--model", str(family)]) == 0
    text = capfd.readouterr()
    assert main(["inspect", str(path), "--model", str(family), "--json"]) == 0
    return text.out, text.err, json.loads(capfd.readouterr().out)


def test_a_denoised_file_says_what_was_done(source: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--model", str(family), "--strength", "0.75", "--chroma", "0.5", "--noise", "1e-3,3e-6", "-q"]
    assert main(["denoise", str(source), *options, "--device", "cpu"]) == 0
    path = source.with_name("a-denoised.dng")
    card = json.loads((family / "tiny" / "card.json").read_text())
    (weights,) = card["files"].values()
    (done,) = past_of(tree_of(path).main.tags[700].data).treatments
    assert done.software == f"rawkd {__version__}"
    assert (done.model, done.weights_sha256, done.ensemble) == ("tiny", weights, 1)
    assert (done.strength, done.luma, done.chroma) == (0.75, 1.0, 0.5)
    assert (done.noise, done.gain, done.read_variance) == ("given", 1e-3, 3e-6)
    assert (done.defects, done.rows) == (0, False)
    assert done.precision in ("f32", "bf16")
    text, warnings, record = inspected(path, family, capfd)
    lines = {line[2:19].strip(): line[19:].strip() for line in text.split("Done before\n")[1].splitlines()}
    assert lines["by"] == done.software
    assert lines["network"] == f"tiny, weights {weights[:12]}"
    assert lines["strength"] == "0.75, chroma 0.5"
    assert lines["noise removed"] == "--noise 0.001,3e-06 (given)"
    assert lines["noise reduction"] == "56% (NoiseReductionApplied)"
    assert record["history"] == [asdict(done)]
    assert record["noise_reduction_applied"] == 0.5625
    assert record["marked_as_denoised"] is True
    again = "Denoising it again removes detail. Use the original photo instead."
    assert f"a-denoised.dng: rawkd wrote this file (tiny, strength 0.75). {again}" in warnings
    assert main(["denoise", str(path), "--model", str(family)]) == 0
    assert f"warning: a-denoised.dng: rawkd wrote this file (tiny, strength 0.75). {again}" in capfd.readouterr().err
    assert warnings.count("warning: ") == 1  # how well the rest of the noise is measured does not matter
    twice = inspected(path.with_name("a-denoised-denoised.dng"), family, capfd)
    assert [one["strength"] for one in twice[2]["history"]] == [0.75, 1.0]
    assert twice[2]["noise_reduction_applied"] == 1.0
    assert twice[0].count("\n  by ") == 2


def test_a_file_to_which_nothing_was_done_says_nothing(
    source: Path, family: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text, warnings, record = inspected(source, family, capfd)
    assert "Done before" not in text
    assert "again" not in warnings
    assert (record["history"], record["noise_reduction_applied"], record["marked_as_denoised"]) == ([], None, False)
    assert main(["denoise", str(source), "--strength", "0", "-q", "-o", str(source.with_name("b.dng"))]) == 0
    main_ifd = tree_of(source.with_name("b.dng")).main
    assert not {700, 50935} & main_ifd.tags.keys()  # strength 0 copies the samples


def test_the_history_warns_when_another_program_wrote_the_file_since(tmp_path: Path) -> None:
    def warnings(packet: bytes, software: str = "Editor 5") -> tuple[str, ...]:
        write_dng(tmp_path / "a.dng", noisy_photo(), preview=None, software=software, xmp=packet, overwrite=True)
        return tuple(one for one in read_raw(tmp_path / "a.dng").warnings if "again" in one)

    again = ". Denoising it again removes detail. Use the original photo instead."
    assert warnings(with_treatment(b"", TREATMENT)) == (
        f"rawkd removed noise from this photo before (net, strength 0.75){again}",
    )
    marked = rdf(f'<rdf:Description rdf:about="" xmlns:d="{DT}" d:neural_restore="raw-denoise"/>')
    assert warnings(marked) == (f"a program has marked this photo as denoised{again}",)
    assert warnings(with_treatment(b"", replace(TREATMENT, model=None))) == ()
    assert warnings(BROKEN["no xml"]) == warnings(LIGHTROOM) == ()
    assert warnings(LIGHTROOM, "rawkd 0.0.1") == (f"rawkd wrote this file{again}",)


def test_an_output_is_known_by_its_history_when_another_program_saved_it(tmp_path: Path) -> None:
    def is_own(packet: bytes, software: str = "Editor 5") -> bool:
        write_dng(tmp_path / "a.dng", noisy_photo(), preview=None, software=software, xmp=packet, overwrite=True)
        return identify(tmp_path / "a.dng").is_own_output

    assert is_own(b"", "rawkd 0.0.1")
    for name in ("lightroom", "utf-16", "utf-16 without mark", "latin 1", "nothing"):
        assert is_own(with_treatment(PACKETS[name], TREATMENT))
    assert is_own(with_treatment(b"", replace(TREATMENT, model=None)))  # defects alone
    assert not is_own(LIGHTROOM)
    assert not is_own(LIGHTROOM.replace(b"Editor 5", b"no rawkd 5"))
    assert not is_own(with_treatment(LIGHTROOM, TREATMENT)[:-700])  # its name is there, but it is no XML


def test_defects_and_rows_alone_are_told(tmp_path: Path) -> None:
    photo = noisy_photo()
    fixed = Restoration(photo, photo.mosaic, DenoiseOptions(), UNKNOWN_NOISE, None, None, None, (), 3)
    done = treatment_of(fixed, "rawkd 1")
    assert done == Treatment("rawkd 1", defects=3)
    assert done.parameters() == "defects=3; rows=no"
    assert treatment_of(replace(fixed, defects=0), "rawkd 1") is None
    assert treatment_of(replace(fixed, defects=0, rows=True), "rawkd 1") == Treatment("rawkd 1", rows=True)


def test_weights_in_several_files_have_one_identity(family: Path) -> None:
    card = replace(
        read_card(family / "tiny"), files={"network.onnx": "a", "weights-2-of-2": "c", "weights-1-of-2": "b"}
    )
    assert card.weights_sha256 == hashlib.sha256(b"bc").hexdigest()
    assert replace(card, files={"network.onnx": "a", "weights.safetensors": "b"}).weights_sha256 == "b"
    assert replace(card, files={"network.onnx": "a"}).weights_sha256 == "a"
