"""What a run may not load: heavy libraries where they are not used, and layers that lie above."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

HEAVY = {
    "torch",
    "openvino",
    "scipy",
    "rawpy",
    "colour_demosaicing",
    "colour",
    "tifffile",
    "imagecodecs",
    "imageio",
    "PIL",
    "exifread",
}


def modules_of(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran in a fresh interpreter."""
    script = f"import sys\n{code}\nimport json\nsys.stderr.write('MODULES' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr.partition("MODULES")[2])}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["denoise", "--help"],
        ["batch", "--help"],
        ["models", "--help"],
        ["inspect", "--help"],
        ["compare", "--help"],
        ["calibrate", "--help"],
        ["verify", "--help"],
        ["bench", "pairs", "--help"],
    ],
)
def test_help_is_light(arguments: list[str]) -> None:
    loaded = modules_of(f"from rawkd.cli import main\nassert main({arguments!r}) == 0")
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "rich"})


def test_the_guard_sees_heavy_modules() -> None:
    assert modules_of("import scipy, rawpy") >= {"scipy", "rawpy", "numpy"}


@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"])
@pytest.mark.parametrize("stated", [None, "3"])
def test_a_program_of_ours_has_one_blas_thread_unless_you_say_otherwise(
    stated: str | None, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    if stated:
        monkeypatch.setenv(variable, stated)
    check = f"assert 'numpy' not in sys.modules and os.environ['{variable}'] == '{stated or 1}'"
    modules_of(f"import os\nfrom rawkd.cli import main\nmain(['--version'])\n{check}")


def test_importing_the_package_is_light() -> None:
    assert not modules_of("import rawkd; rawkd.__version__; dir(rawkd)") & (HEAVY | {"numpy", "click", "rich"})


def test_the_pipeline_loads_no_heavy_library_before_it_is_used() -> None:
    assert not modules_of("import rawkd.process, rawkd.restore.pipeline") & HEAVY


def test_public_names_resolve() -> None:
    import rawkd

    for name in rawkd.__all__:
        assert getattr(rawkd, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(rawkd, "nothing")  # noqa: B009


def test_layers() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists() and not shutil.which("lint-imports"):
        pytest.skip("needs import-linter")
    command = [str(program) if program.exists() else "lint-imports"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_function_swallows_misspelt_names() -> None:
    """`**kwargs` would take any name for an option; only decorators of commands hand on what click has checked."""
    swallowing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "rawkd").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg is not None
    ]
    assert not [name for name in swallowing if not name.startswith("rawkd/cli/")]
    assert {name.rpartition(" ")[2] for name in swallowing} <= {"gathered", "wrapped"}
