"""A directory whose disk can be frozen under a daemon, by a library that is loaded into it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


class FrozenDisk:
    """Freezes and thaws everything under one directory, for processes started with `environ`."""

    def __init__(self, directory: Path, library: Path, switch: Path) -> None:
        self.directory = directory
        self._switch = switch
        self.environ = {
            "LD_PRELOAD": str(library),
            "FROZEN_DISK": str(directory),
            "FROZEN_SWITCH": str(switch),
        }

    def freeze(self) -> None:
        """From now on every call on a file there waits."""
        self._switch.touch()

    def thaw(self) -> None:
        """Let the calls that wait go on."""
        self._switch.unlink(missing_ok=True)


def frozen_disk(folder: Path) -> FrozenDisk:
    """Build the library; skip the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: a disk that hangs cannot be simulated here")
    library = folder / "frozen_disk.so"
    source = Path(__file__).with_suffix(".c")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"],
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        pytest.skip(f"a disk that hangs cannot be simulated here: {built.stderr.strip()}")
    directory = folder / "frozen"
    directory.mkdir()
    return FrozenDisk(directory, library, folder / "freeze")
