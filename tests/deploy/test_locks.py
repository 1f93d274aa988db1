"""The lock files name everything that they install: an installation resolves nothing by itself."""

from __future__ import annotations

import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> dict[str, str]:
    lines = [line.split("==") for line in (ROOT / name).read_text().splitlines() if line]
    assert all(len(line) == 2 for line in lines), "names and versions only"
    return {canonicalize_name(package): version for package, version in lines}


def needed(wanted: list[str]) -> dict[str, Requirement]:
    """Everything that these requirements bring along, on this Python."""
    found: dict[str, Requirement] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(one), "") for one in wanted]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker is not None and not requirement.marker.evaluate({"extra": extra})) or (
            (key := (name, ",".join(sorted(requirement.extras)))) in seen
        ):
            continue
        seen.add(key)
        found[name] = requirement
        for one in requires(name) or []:
            waiting += [(Requirement(one), wanted_extra) for wanted_extra in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-dev.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
    ],
)
def test_a_lock_names_all_that_is_needed(name: str, wanted: list[str]) -> None:
    pinned = locked(name)

    missing = sorted(set(needed(wanted)) - set(pinned))
    assert missing == []


def test_the_two_locks_pin_the_same_versions() -> None:
    development = locked("requirements-dev.lock")

    assert locked("requirements.lock").items() <= development.items()
