"""`python -m benchmarks.compare A B [--only NAME] [--rounds N]`: the sidecar of one commit against that of another.

Each commit is checked out into a worktree under a temporary folder, which takes the benchmarks of this tree: what is
measured differs, what measures does not.  A and B are measured in turn, again and again, and the medians told side by
side.  `.` in place of a commit is this tree as it is.  Without --only: `benchmarks.micro`, and `receive` in short;
NAME is micro or a part of `python -m benchmarks`, always with --quick.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from benchmarks.__main__ import PARTS
from benchmarks.machine import RECEIVER_CORE, ROOT, describe, pinned
from benchmarks.table import Row, Section, render

MICRO: Final = "micro"
CHEAP: Final = (MICRO, "receive")
_NEEDED: Final = ("benchmarks", "tests/__init__.py", "tests/support/daemon.py", "tests/support/forks.py")
_LONGEST_SECONDS: Final = 900.0

Numbers: TypeAlias = dict[tuple[str, str], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("a", help="a commit, or . for this tree")
    parser.add_argument("b", help="another")
    parser.add_argument("--only", choices=(MICRO, *PARTS), help="one part alone")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    parts = CHEAP if chosen.only is None else (chosen.only,)
    sides = tuple(_resolved(parser, commit) for commit in (chosen.a, chosen.b))
    numbers: tuple[Numbers, Numbers] = (defaultdict(list), defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="sidecar-compare-") as name:
        folders = [Path(name) / side for side in ("a", "b")]
        try:
            for commit, folder in zip(sides, folders, strict=True):
                _check_out(commit, folder)
            for number in range(chosen.rounds):
                for part in parts:
                    for commit, folder, told in zip(sides, folders, numbers, strict=True):
                        sys.stderr.write(f"round {number + 1} of {chosen.rounds}: {part} of {commit[:10]}\n")
                        _measure(part, folder, told)
        finally:
            for commit, folder in zip(sides, folders, strict=True):
                _remove(commit, folder)
    print(f"machine: {describe()}\nA: {_named(sides[0])}\nB: {_named(sides[1])}\n")
    print(render(_sections(*numbers)))


def _resolved(parser: argparse.ArgumentParser, commit: str) -> str:
    """The commit itself, whatever a branch may point to later; ends the program where there is none."""
    if commit == ".":
        return commit
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
    except subprocess.CalledProcessError:
        parser.error(f"{commit} is no commit")


def _check_out(commit: str, folder: Path) -> None:
    """Make a tree with the sidecar of a commit and the benchmarks of this tree.

    Raises:
        CalledProcessError: there is no such commit.
        RuntimeError: what would be imported from there is another sidecar.
    """
    if commit == ".":
        shutil.copytree(ROOT / "sidecar", folder / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    for needed in _NEEDED:
        source, target = ROOT / needed, folder / needed
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
    found = _python(folder, "-c", "import sidecar; print(sidecar.__file__)").strip()
    if not Path(found).is_relative_to(folder):
        raise RuntimeError(f"{folder} would measure {found}")


def _remove(commit: str, folder: Path) -> None:
    if commit != "." and folder.exists():
        _git("worktree", "remove", "--force", str(folder))


def _measure(part: str, folder: Path, told: Numbers) -> None:
    """Measure one part in one tree; a commit that cannot do it is told of and left out."""
    try:
        if part == MICRO:
            with pinned(RECEIVER_CORE):
                answer = _python(folder, "-m", "benchmarks.micro", "--json")
        else:
            answer = _python(folder, "-m", "benchmarks", "--quick", "--json", "--only", part)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        sys.stderr.write(f"  it failed: {' '.join(last)}\n")
        return
    for section, what, number in json.loads(answer):
        told[section, what].append(number)


def _python(folder: Path, *arguments: str) -> str:
    """Run this interpreter in a tree, so that its packages are found there before any other."""
    environ = os.environ | {"PYTHONPATH": str(folder)}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        told, errors = process.communicate(timeout=_LONGEST_SECONDS)
    finally:
        if process.poll() is None:
            process.terminate()  # not kill: it has processes of its own to end
            process.wait()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments, told, errors)
    return told


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _named(commit: str) -> str:
    return "this tree" if commit == "." else _git("log", "-1", "--format=%h %s", commit).strip()


def _sections(a: Numbers, b: Numbers) -> list[Section]:
    titles = dict.fromkeys(section for section, _ in [*a, *b])
    sections: list[Section] = []
    for title in titles:
        rows = [
            _row(what, a.get((section, what), []), b.get((section, what), []))
            for section, what in dict.fromkeys([*a, *b])
            if section == title
        ]
        sections.append(Section(f"{title}; the last ratio is B to A", rows))
    return sections


def _row(what: str, a: list[float], b: list[float]) -> Row:
    ratio = median(b) / median(a) if a and b and median(a) else None
    return Row(what, f"A {_median(a)}  B {_median(b)}", ratio, f"A {_spread(a)}; B {_spread(b)}")


def _median(numbers: list[float]) -> str:
    return _short(median(numbers)) if numbers else "-"


def _spread(numbers: list[float]) -> str:
    return f"{_short(min(numbers))} to {_short(max(numbers))}" if numbers else "not measured"


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"


if __name__ == "__main__":
    main()
