"""`make deploy-check` says what it skipped, and ends with 1 only where something is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.support import DEPLOY, ROOT

CHECK: Final = DEPLOY / "check.py"
README: Final = (DEPLOY / "README.md").read_text(encoding="utf-8")


def check(path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run it with the tools of one folder."""
    command = [sys.executable, str(CHECK), *names]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def tool(folder: Path, name: str, status: int) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho nonsense\nexit {status}\n", encoding="ascii")
    path.chmod(0o755)


def test_every_tool_that_is_missing_is_named(tmp_path: Path) -> None:
    done = check(tmp_path)

    assert done.returncode == 0, done.stderr
    for name in ("helm", "promtool", "terraform", "buildah"):
        assert re.search(rf"^skipped  .*: {name} is not installed$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(("name", "program"), [("alert rules", "promtool"), ("terraform", "terraform")])
def test_a_complaint_of_a_tool_is_a_failure(name: str, program: str, tmp_path: Path) -> None:
    tool(tmp_path, program, 1)

    done = check(tmp_path, name)
    assert done.returncode == 1
    assert done.stdout.startswith(f"FAILED   {name}: {program}")
    assert "nonsense" in done.stdout


def test_a_chart_that_renders_otherwise_is_a_failure(tmp_path: Path) -> None:
    tool(tmp_path, "helm", 0)

    done = check(tmp_path, "charts")
    assert done.returncode == 1
    assert "render.py" in done.stdout


def test_every_file_that_the_page_names_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    files = re.findall(r"(?:file://|--template-file |--config |-f |check rules |cp )([\w./-]+\.(?:json|yaml))", README)
    folders = re.findall(r"(?:-chdir=|dependency build |--install my-app )([\w./-]+)", README)

    assert links
    assert files
    assert folders
    for name in links:
        assert (DEPLOY / name).exists(), name
    for name in {*files, *folders} - {"stack.yaml"}:  # commands are run in the root
        assert (ROOT / name).exists(), name


def test_every_folder_is_on_the_page() -> None:
    folders = {path.name for path in DEPLOY.iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert {folder for folder in folders if f"({folder}" not in README and f"{folder}/" not in README} == set()


def test_the_size_of_the_image_is_said_alike_everywhere() -> None:
    [size] = re.findall(r"\*\*together\*\* \| \*\*(\d+)\*\*", README)

    assert int(size) < 130
    assert f"the image has {size} MB" in (ROOT / "README.md").read_text(encoding="utf-8")
