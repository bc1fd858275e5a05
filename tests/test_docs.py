"""The documentation agrees with the program: options, commands, examples, links, numbers and the site."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import click
import pytest
from conftest import ROOT

from rawkd.cli import main
from rawkd.cli.app import COMMANDS, app

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
MODEL_PAGES = sorted((ROOT / "models").rglob("*.md"))
SHELLS = ("sh", "bash", "console")
ALL_SETS = {"sidd", "siddplus", "dnd", "pmrid", "sid", "eld", "pairs", "burst", "synthetic"}
RAW_SETS = {"sid", "eld", "pairs", "burst", "synthetic"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and text of every code block, fenced or indented ("")."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    yield from ((found[1], found[2]) for found in fenced.finditer(text))
    indented = re.compile(r"(?:^(?: {4,}\S.*| *)\n)+", re.MULTILINE)
    yield from (("", found[0]) for found in indented.finditer(fenced.sub("", text)) if found[0].strip())


def shell_lines(text: str) -> Iterator[list[str]]:
    """The words of every shell command of a page: of pipelines each part, without redirections and comments."""
    for language, block in blocks(text):
        if language not in ("", *SHELLS):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            try:
                words = list(lexer)
            except ValueError:  # prose with an apostrophe, or a here-document
                continue
            start = 0
            for at, word in enumerate([*words, ";"]):
                if set(word) <= set("|&;<>"):
                    if at > start:
                        yield words[start:at]
                    start = at + 1


COMMAND_LINES = sorted({
    (name_of(page), *words)
    for page in [*PAGES, *MODEL_PAGES]
    for words in shell_lines(page.read_text(encoding="utf-8"))
    if words[0] == "rawkd"
})  # fmt: skip
"""Every `rawkd ...` of the documentation, with its page."""


def command_of(words: tuple[str, ...]) -> tuple[click.Command, list[str]]:
    """The command that words name, and its arguments."""
    command: click.Command = app
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"rawkd has no command {rest[0]!r}"
        command, rest = found, rest[1:]
    return command, rest


def is_choice(param: click.Parameter) -> bool:
    return isinstance(param.type, click.Choice)


def test_there_are_commands_to_check() -> None:
    assert len(COMMAND_LINES) > 60
    assert sum(is_runnable(words) for _, *words in COMMAND_LINES) > 8


@pytest.mark.parametrize("line", COMMAND_LINES, ids=" ".join)
def test_commands_are_accepted(line: tuple[str, ...]) -> None:
    """Every option exists and takes the value that stands there; no file is opened.

    A letter such as S stands for any of several choices.
    """
    command, arguments = command_of(line[2:])
    choices = {name: param.type.choices for param in command.params for name in param.opts if is_choice(param)}
    for at, (option, value) in enumerate(pairwise(arguments)):
        if option in choices and re.fullmatch("[A-Z]", value):
            arguments[at + 1] = choices[option][0]
    with suppress(click.exceptions.Exit):  # of --help and --version
        command.make_context("rawkd", arguments)


def test_wrong_commands_are_noticed() -> None:
    command, arguments = command_of(("denoise", "photo.dng", "--strenght", "1"))
    with pytest.raises(click.UsageError):
        command.make_context("rawkd", arguments)
    with pytest.raises(AssertionError):
        command_of(("denoize", "photo.dng"))


def is_runnable(words: list[str]) -> bool:
    """Whether all that a command needs is in the repository."""
    if "--cluster" in words or "--watch" in words or "--install" in words:
        return False
    files = [word for word in words if word.startswith("examples/")]
    return bool(files) or words[1:] in (["--help"], ["--version"], ["models"], ["models", "--json"])


RUNNABLE = sorted({tuple(words) for _, *words in COMMAND_LINES if is_runnable(words)})


WRITTEN: dict[Path, tuple[str, ...]] = {}
"""Files that commands of the documentation wrote, below the working folder, and the first command that did."""


@pytest.fixture
def with_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a copy of examples/."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_commands_on_the_examples_run(
    words: tuple[str, ...], with_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path for path in with_examples.rglob("*") if path.is_file()}
    assert main(list(words[1:])) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert out
    if words[1] in ("denoise", "batch", "compare"):
        paths = [Path(line) for line in out.splitlines()]
        assert all((with_examples / path).stat().st_size for path in paths)
        assert not {with_examples / path for path in paths} & before
    if words[1] in ("denoise", "compare"):  # a batch leaves out what is there
        clashes = {path: first for path in paths if (first := WRITTEN.setdefault(path, words)) != words}
        assert not clashes, "whoever follows the documentation meets a file that exists already"


def test_the_summary_and_the_json_are_as_shown(with_examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds and the number format depend on the machine."""
    photo = "examples/canon-s40-box-made-noisy.dng"
    assert main(["denoise", photo, "--json"]) == 0
    written = capsys.readouterr()
    shown = dict(blocks((ROOT / "docs" / "get-started.md").read_text(encoding="utf-8")))["text"]
    changing = re.compile(r"int8\+bf16|bf16|int8|int7|f32|[\d.]+ s$", re.MULTILINE)
    assert changing.sub("_", written.err) == changing.sub("_", shown)
    example = json.loads(dict(blocks((ROOT / "docs" / "reference.md").read_text(encoding="utf-8")))["json"])
    record = json.loads(written.out)
    assert list(example) == list(record)
    assert [list(example[key]) for key in ("noise", "seconds")] == [list(record[key]) for key in ("noise", "seconds")]


def test_other_commands_name_things_that_exist() -> None:
    """Scripts, make targets, tests and extras."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    missing = []
    for page in PAGES:
        for words in shell_lines(page.read_text(encoding="utf-8")):
            if words[0] == "make":
                missing += [f"{name_of(page)}: make {word}" for word in words[1:] if word not in targets]
            if words[0] in ("python", "pytest"):
                files = [word for word in words[1:] if re.fullmatch(r"[a-z][\w/]*/\w+\.py", word)]
                missing += [f"{name_of(page)}: {file}" for file in files if not (ROOT / file).exists()]
            if words[:2] == ["pip", "install"]:
                named = re.findall(r"\[([\w,]+)\]", " ".join(words))
                missing += [f"{name_of(page)}: {x}" for one in named for x in one.split(",") if x not in extras]
    assert not missing


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for member in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), member)
            assert found is not None
            yield from leaves(found, f"{name} {member}")
    else:
        yield name, command


def documented_options() -> dict[str, set[str]]:
    """The options in the tables of the reference by the heading above them; a second table of a heading by "more"."""
    found: dict[str, set[str]] = {}
    heading, tables = "", 0
    for line in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading, tables = line.lstrip("# "), 0
        elif line.startswith("| option |"):
            tables += 1
        elif line.startswith("| `-"):
            key = heading if tables == 1 else f"{heading}, more"
            found.setdefault(key, set()).update(re.findall(r"`(-[^`]*)`", line.split(" | ")[0]))
    return found


def shared_headings(name: str) -> list[str]:
    _, _, data_set = name.partition("rawkd bench ")
    if name in ("rawkd train", "rawkd distill", "rawkd search"):
        return ["Training options"]
    return ["rawkd bench"] * (data_set in ALL_SETS) + ["rawkd bench, more"] * (data_set in RAW_SETS)


LEAVES = dict(leaves(app, "rawkd"))


@pytest.mark.parametrize("name", LEAVES)
def test_the_reference_has_every_option_and_no_other(name: str) -> None:
    documented = documented_options()
    told = documented.get(name, set()).union(*(documented[heading] for heading in shared_headings(name)))
    real = {spelling for param in LEAVES[name].params if isinstance(param, click.Option) for spelling in param.opts}
    assert told == real - {"-h", "--help"}


def test_the_reference_has_no_other_commands() -> None:
    known = set(LEAVES) | {f"rawkd {command.name}" for command in COMMANDS}
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^##+ (rawkd .*)$", text, re.MULTILINE)) == known


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(reference: ModuleType) -> None:
    text = reference.PAGE.read_text(encoding="utf-8")
    assert reference.regenerated(text) == text, "the help texts changed: run `make reference`"


def test_the_table_of_exit_codes_is_complete() -> None:
    from rawkd.cli import exit_codes

    codes = {value for key, value in vars(exit_codes).items() if key.isupper() and isinstance(value, int)}
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes


def python_blocks(page: Path) -> list[str]:
    return [text for language, text in blocks(page.read_text(encoding="utf-8")) if language == "python"]


PYTHON = {f"{page.name}, {number}": text for page in DOCS for number, text in enumerate(python_blocks(page), 1)}


def run_example(name: str) -> None:
    exec(compile(PYTHON[name], name, "exec"), {"__name__": "__main__"})  # noqa: S102


def test_three_pages_have_python_examples() -> None:
    assert {name.partition(",")[0] for name in PYTHON} == {"python-api.md", "calibrate.md", "embedding.md"}


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_examples_run(name: str, with_examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each as a script of its own; `# -> text` behind a print says what it prints."""
    if "import torch" in PYTHON[name]:
        pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")
    run_example(name)
    printed = capsys.readouterr().out.splitlines()
    for expected in re.findall(r"# -> (.*)$", PYTHON[name], re.MULTILINE):
        assert expected in printed
    written = re.findall(r'"(clean\.\w+)"', PYTHON[name])
    assert all((with_examples / name).exists() for name in written)


def test_the_arrays_of_the_page_are_calibrated(with_examples: Path) -> None:
    """The gain of the example is 4e-6 x ISO, its read variance 4e-10 x ISO^2 and that of rounding."""
    from rawkd.sensor.profile import read_profile

    run_example("calibrate.md, 1")
    frames = [str(path) for path in sorted((with_examples / "frames").iterdir())]
    assert main(["calibrate", *frames, "--out", "camera.json"]) == 0
    found = read_profile(with_examples / "camera.json").noise_at(400)
    assert found.gain == pytest.approx(1.6e-3, rel=0.02)
    assert found.read_variance == pytest.approx(6.4e-5 + 1 / 3839**2 / 12, rel=0.05)


def test_the_calibration_written_by_hand_is_used(with_examples: Path) -> None:
    import numpy as np

    import rawkd

    texts = [text for language, text in blocks((ROOT / "docs" / "calibrate.md").read_text(encoding="utf-8"))]
    (with_examples / "camera.json").write_text(next(text for text in texts if '"Acme"' in text and "planes" in text))
    frame = np.random.default_rng(0).integers(90, 900, (60, 60), np.uint16)
    photo = rawkd.photo_of(frame, black=64, white=1023, iso=1600, make="Acme", model="S1")
    restoration = rawkd.denoise(photo, rawkd.DenoiseOptions(calibration="camera.json"))  # type: ignore[arg-type]
    assert restoration.noise.pairs == ((0.003, 1e-5), (0.003, 1e-5), (0.006, 4e-5))


def test_the_python_page_has_every_public_name_and_option() -> None:
    import dataclasses

    import rawkd

    text = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(?:rawkd\.)?(\w+)", row)}
    assert set(rawkd.__all__) <= named
    for options in (rawkd.DenoiseOptions, rawkd.ProcessOptions):
        assert {field.name for field in dataclasses.fields(options)} <= named


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", *MODEL_PAGES], ids=name_of)
def test_links_and_anchors_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken


def test_texts_of_the_code_name_pages_that_exist() -> None:
    named = {
        (name_of(path), page)
        for folder in ("rawkd", "tests", "benchmarks", "examples", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
        for page in re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [pair for pair in sorted(named) if not (ROOT / pair[1]).exists()]


def test_every_page_and_picture_is_used() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r": ([\w-]+\.md)$", nav, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS)
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+)\)", page.read_text(encoding="utf-8"))}
    assert shown == {path.name for path in (ROOT / "docs" / "images").iterdir()}


def table_rows(page: str, key: str) -> list[list[str]]:
    """Cells of all rows of a page that have a cell of this text, tiers without their marks."""
    rows = []
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [re.sub(r"[`*]|\(default\)", "", cell).strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and key in cells:
            rows.append(cells)
    return rows


@pytest.mark.parametrize("tier", ["fast", "balanced", "best"])
def test_numbers_of_tiers_are_those_of_the_measurements(tier: str) -> None:
    """Times of performance.md (24 MP, ensemble 1, best of the runs), PSNR of accuracy.md (true parameters).

    A tier has two rows there: in the fastest precision, and in float32.
    """
    seconds = {
        row[2] == "float32": float(row[4])
        for row in table_rows("docs/performance.md", tier)
        if row[0] == "24 MP, DNG to DNG" and row[3].split()[0] == "1"
    }
    (psnr,) = (row[-1].strip(" |") for row in table_rows("docs/accuracy.md", tier) if row[1:3] == ["true", "1"])
    (readme,) = table_rows("README.md", tier)
    (page,) = (row for row in table_rows("docs/denoise.md", tier) if len(row) == 6)
    told = [(readme[1], readme[2], readme[3]), (*page[4].removesuffix(")").split(" ("), page[5])]
    for fastest, f32, psnr_told in told:
        assert psnr_told.strip(" |") == f"{psnr} dB"
        for text, measured in ((fastest, seconds[False]), (f32, seconds[True])):
            number = text.removesuffix(" s")
            assert number == f"{measured:.{len(number.partition('.')[2])}f}"


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install '.[docs]'")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for page in DOCS:
        html = (site / page.with_suffix(".html").name).read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe|source)[^>]*src="?https?:', html)
        assert not re.findall(r'<link[^>]*rel="?(?:stylesheet|preconnect|icon)[^>]*href="?https?:', html)
