"""The Dockerfile, as far as it can be checked without a docker daemon."""

from __future__ import annotations

import re
import tomllib

from conftest import ROOT

LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
STEPS = [tuple(line.split(None, 1)) for line in LINES if line and not line.startswith("#")]


def test_what_is_copied_exists_and_is_in_the_context() -> None:
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [name for step, rest in STEPS if step == "COPY" and "--from" not in rest for name in rest.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / name).exists() for name in copied)


def test_the_build_has_what_the_package_declares() -> None:
    """Files that pyproject.toml names: readme, licences, models."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {project["project"]["readme"], *project["project"]["license-files"]}
    named |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])
    copied = " ".join(rest for step, rest in STEPS if step == "COPY").split()
    assert named <= set(copied)


def test_the_image_runs_without_rights() -> None:
    last = max(number for number, (step, _) in enumerate(STEPS) if step == "FROM")
    final = dict(STEPS[last:])
    assert final["FROM"].endswith("-slim")
    assert final["USER"].split(":")[0] not in ("root", "0")
    assert final["ENTRYPOINT"] == '["rawkd"]'
    assert "RUN" not in final
