"""Options: each defined once, each with a help text that says what it does, and none ignored without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from rawkd.cli import main, without_effect
from rawkd.cli.app import COMMANDS, app
from rawkd.cli.option_groups import SECTIONS
from rawkd.cli.options import ENSEMBLES, METHODS, NOISE_SOURCES
from rawkd.inference.engines import DEVICES
from rawkd.render.demosaic import Method
from rawkd.sensor.cfa import SYMMETRIES
from rawkd.sensor.choose_noise import SOURCES
from rawkd.sensor.defects import DEFECTS

VERBS = {
    "Add", "Allow", "Also", "Average", "Brighten", "Choose", "Compare", "Compile", "Denoise", "Fix", "Give", "Keep",
    "Learn", "Leave", "List", "Make", "Match", "Measure", "Name", "Plot", "Print", "Read", "Remove", "Repeat",
    "Replace", "Score", "Search", "Set", "Ship", "Show", "Skip", "Start", "State", "Stop", "Take", "Train", "Tune",
    "Use", "Validate", "Work", "Write",
}  # fmt: skip

CASES = [
    ("denoise a.dng --exposure 1", ["--exposure"]),
    ("denoise a.dng -o b.dng --demosaic menon --jpeg-quality 80", ["--demosaic", "--jpeg-quality"]),
    ("denoise a.dng -o b.tif --exposure 1 --jpeg-quality 80 --demosaic menon", ["--jpeg-quality"]),
    ("denoise a.dng -o b.png --jpeg-quality 80", ["--jpeg-quality"]),
    ("denoise a.dng -o b.jpg --exposure 1 --jpeg-quality 80 --demosaic menon", []),
    ("denoise a.dng --crop 0,0,8,8 --exposure 1", []),  # a crop is rendered
    ("denoise a.dng --exposure 0", ["--exposure"]),  # also where the value is the default
    ("batch a.dng --format png --jpeg-quality 80 --exposure 1", ["--jpeg-quality"]),
    ("batch a.dng --exposure 1", ["--exposure"]),
    (
        "denoise a.dng --strength 0 --luma 1 --chroma 1 --ensemble 2 --model best --rows --defects auto --device cpu",
        ["--luma", "--chroma", "--ensemble", "--model", "--rows", "--defects", "--device"],
    ),
    ("denoise a.dng --luma 0 --chroma 0 --strength 0.5 --rows", ["--strength", "--rows"]),
    ("denoise a.dng --luma 0 --rows --ensemble 2", []),
    ("denoise a.dng --strength 0.5 --luma 0.5 --ensemble 2", []),
    ("denoise a.dng --strength 0 --threads 1 --noise-source blind", []),  # writing uses threads; the noise is reported
    ("denoise a.dng --noise 1e-3,1e-6 --noise-source blind", ["--noise-source"]),
    ("denoise a.dng --noise 1e-3,1e-6 --calibration c.json", []),  # its map of defects counts
    ("compare a.dng --strength 0 --models best --luma 0.5", ["--models", "--luma"]),
    ("compare a.dng --noise 1e-3,1e-6 --noise-source blind", ["--noise-source"]),
    ("batch a.dng --noise 1e-3,1e-6 --per-photo-noise", ["--per-photo-noise"]),
    ("batch a.dng --calibration c.json --per-photo-noise", ["--per-photo-noise"]),
    ("batch a.dng --noise-source iso --per-photo-noise", ["--per-photo-noise"]),
    ("batch a.dng --noise-source blind --per-photo-noise", []),
    ("batch there.dng --recursive --include *.dng --exclude *.nef", ["--recursive"]),
    ("batch there.dng shoot --recursive --include *.dng --exclude *.nef --jobs 1", []),
    ("inspect a.dng --overwrite", ["--overwrite"]),
    ("inspect a.dng --overwrite --plot a.svg", []),
    ("calibrate a.dng b.dng --install --out c.json", ["--out"]),
    ("calibrate a.dng b.dng --install", []),
    ("bench pairs none --overwrite --no-plots --noise 1e-3,1e-6 --noise-source iso",
     ["--overwrite", "--no-plots", "--noise-source"]),
    ("bench pairs none --overwrite --no-plots -o out", []),
    ("bench synthetic shoot --write-cases out -m fast -o out --json --no-plots --true-noise --ensemble 2 --threads 1"
     " --device cpu",
     ["--method", "--output", "--json", "--no-plots", "--true-noise", "--ensemble", "--threads", "--device"]),
]  # fmt: skip


@pytest.fixture
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shoot").mkdir()
    (tmp_path / "there.dng").write_bytes(b"a text")


def warned(err: str) -> list[str]:
    return [line.split()[1] for line in err.splitlines() if "has no effect" in line]


@pytest.mark.usefixtures("_somewhere")
@pytest.mark.parametrize(("words", "expected"), CASES, ids=[words for words, _ in CASES])
def test_an_option_without_effect_is_warned_about(
    words: str, expected: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """No photo here can be read, nor the calibration: warnings come before any work."""
    assert main(words.split()) in (1, 3, 4)
    printed = capfd.readouterr()
    assert sorted(warned(printed.err)) == sorted(expected)
    assert "has no effect" not in printed.out
    if words.startswith(("denoise", "batch", "compare")):
        main([*words.split(), "-q"])
        assert warned(capfd.readouterr().err) == []


@pytest.mark.usefixtures("_somewhere")
def test_a_name_that_cannot_be_looked_up_is_an_error_of_its_photo(capfd: pytest.CaptureFixture[str]) -> None:
    """`--recursive` looks whether a folder is given; longer names than 255 bytes are no name of a file."""
    assert main(["batch", f"{'x' * 300}.nef", "--recursive"]) == 1
    printed = capfd.readouterr().err
    assert "unexpected" not in printed
    assert "1 failed" in printed


@pytest.mark.usefixtures("_somewhere")
def test_jobs_of_a_cluster(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rawkd.batch.task.find_tasks", lambda *_: ())

    def nobody(*_: object, **__: object) -> None:
        raise click.Abort

    monkeypatch.setattr("rawkd.cli.batch.command._workers", nobody)
    assert main(["batch", "there.dng", "--cluster", "tcp://nowhere:1", "--jobs", "2"]) == 130
    assert warned(capfd.readouterr().err) == ["--jobs"]


def test_every_rule_has_a_case() -> None:
    """Options are spelled in the cases and named as parameters in the rules."""
    named = {(spelling, option.name) for _, option in options() for spelling in option.opts}
    seen = {spelling for _, spellings in CASES for spelling in spellings} | {"--jobs"}
    ruled = {name for rule in without_effect.RULES for name in rule.parameters}
    assert {name for spelling, name in named if spelling in seen} >= ruled
    assert {spelling for spelling, name in named if name in ruled} >= seen


def test_every_rule_names_options_that_exist() -> None:
    names = {option.name for _, option in options()}
    assert {name for rule in without_effect.RULES for name in rule.parameters} <= names


def options(*, hidden: bool = False) -> Iterator[tuple[str, click.Option]]:
    """Every option of every command in the help (and of hidden ones), with the name of its command."""

    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Option]]:
        for param in command.params:
            if isinstance(param, click.Option):
                yield name, param
        for part, member in getattr(command, "commands", {}).items():
            yield from below(f"{name} {part}", member)

    for command in COMMANDS:
        if hidden or not command.hidden:
            loaded = app.get_command(click.Context(app), command.name)
            assert loaded is not None
            yield from below(command.name, loaded)


def test_every_help_text_starts_with_a_verb() -> None:
    without = {
        f"{command} {option.opts[-1]}: {option.help}"
        for command, option in options(hidden=True)
        if (option.help or "").split()[:1] == [] or (option.help or "").split()[0] not in VERBS
    }
    assert without == set()


@pytest.mark.parametrize("name", ["denoise", "batch", "compare"])
def test_sections_of_the_help_hold_every_option_once(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    titles = [line.removesuffix(":") for line in lines if line[:1].strip() and line.endswith(":")]
    assert titles == ["Options", *SECTIONS]
    shown = [line.split()[0].rstrip(",") for line in lines if line.startswith("  -")]
    own = [option.opts[0] for command, option in options() if command == name]
    help_name = "-h" if "-h" in shown else "--help"  # click keeps the spelling of the first context, of any test
    assert sorted(shown) == sorted([*own, help_name])


def test_sections_name_options_that_exist() -> None:
    names = {option.opts[-1] for _, option in options()} | {"--help"}
    listed = [name for section in SECTIONS.values() for name in section]
    assert set(listed) <= names
    assert len(set(listed)) == len(listed)


OWN_MEANING = {
    "--output", "--crop", "--model", "--plot", "--json", "--verbose", "--noisy", "--scenes", "--seed", "--ensemble",
    "--device", "--gt", "--overwrite", "--dry-run", "--format",
}  # fmt: skip
"""Options that mean something else, or default to something else, in another command."""


def test_an_option_is_the_same_in_every_command() -> None:
    found: dict[str, set[tuple[str | None, str]]] = {}
    for _, option in options():
        found.setdefault(option.opts[-1], set()).add((option.help, repr(option.type.to_info_dict())))
    assert {name for name, texts in found.items() if len(texts) > 1} <= OWN_MEANING


def test_choices_are_those_of_the_program() -> None:
    assert NOISE_SOURCES == SOURCES
    assert get_args(Method) == METHODS
    assert tuple(map(str, sorted(SYMMETRIES))) == ENSEMBLES
    kinds = {"device": DEVICES, "defects": DEFECTS, "noise_source": SOURCES, "demosaic": get_args(Method)}
    for command, option in options():
        if option.name in kinds:
            assert isinstance(option.type, click.Choice), command
            assert tuple(option.type.choices) == tuple(kinds[option.name]), command
