"""Clients in other languages: installed or compiled once a machine, in a cache that later runs and checkouts share.

The cache is `$CLIENTS_CACHE`, else `~/.cache/cloudwatch-sidecar-clients`. Each client has a folder of its own there,
named after its sources, with all that was downloaded for it; a change of a source or version makes another one.

`python -m tests.clients.toolchains` builds the program that takes longest; a test run starts it beside its tests
(`conftest.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.clients.tied import tied

PROGRAMS: Final = Path(__file__).with_name("programs")
BUILD_SECONDS: Final = 600  # beside the other tests of a run, on two slow cores
AGAIN_SECONDS: Final = 600  # after a failure, so that the other tests of a run do not wait for the same one
NICENESS: Final = 5  # of what is built in the background


def _cache() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudwatch-sidecar-clients"
    return Path(os.environ.get("CLIENTS_CACHE") or default)


def built(
    name: str,
    commands: Sequence[Sequence[str]],
    *,
    sources: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Path:
    """The folder of a client with everything in it; skips the test where it cannot be built here.

    Args:
        name: the folder under `programs/` that is copied there first.
        commands: build it, run in a copy of that folder. One that was interrupted is run again where it stopped.
        sources: the names of the files that are copied; all of them without.
        environ: further variables of the commands.
    """
    for command in commands:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
    origin = PROGRAMS / name
    files = [file for file in sorted(origin.rglob("*")) if file.is_file() and (not sources or file.name in sources)]
    digest = hashlib.sha256(repr(commands).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    cache = _cache()
    folder = cache / f"{name}-{digest.hexdigest()[:16]}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / f"{folder.name}.lock").open("w")
    except OSError as error:
        pytest.skip(f"no cache for clients: {error}")
    with lock:
        if not folder.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it
        if not folder.exists():
            _build(name, files, commands, folder, environ or {})
    return folder


def _build(
    name: str, files: Sequence[Path], commands: Sequence[Sequence[str]], folder: Path, environ: Mapping[str, str]
) -> None:
    failed = folder.with_name(f"{folder.name}.failed")
    if failed.exists() and time.time() - failed.stat().st_mtime < AGAIN_SECONDS:
        pytest.skip(failed.read_text())
    building = folder.with_name(f"{folder.name}.building")
    for file in files:
        target = building / file.relative_to(PROGRAMS / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    problem = _run(commands, building, environ)
    if problem is None:
        building.rename(folder)
        return
    shutil.rmtree(building, ignore_errors=True)
    failed.write_text(problem)
    pytest.skip(problem)


def _run(commands: Sequence[Sequence[str]], folder: Path, environ: Mapping[str, str]) -> str | None:
    log = folder / "build.log"
    for command in commands:
        with (
            log.open("wb") as output,
            tied(command, cwd=folder, env=os.environ | environ, stdout=output, stderr=subprocess.STDOUT) as building,
        ):
            try:
                status = building.wait(BUILD_SECONDS)
            except subprocess.TimeoutExpired:
                return f"{' '.join(command[:2])} took more than {BUILD_SECONDS} s"
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            return f"{' '.join(command[:2])} failed: {' / '.join(last)[:300]}"
    return None


def node_modules() -> Path:
    """The folder `node_modules` with every client for Node."""
    install = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "--no-package-lock"]
    install += ["--fetch-retries=1", "--fetch-timeout=20000"]
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    return built("node", [install], sources=["package.json"]) / "node_modules"


def node_dgram() -> Path:
    """A folder `node_modules` with the compiled part that Node needs for Unix datagram sockets."""
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"]
    return built("node-dgram", [install]) / "node_modules"


def go_program() -> Path:
    """The program of `programs/go`."""
    return built("go", [["go", "build", "-o", "clients", "."]], environ={"GOFLAGS": "-mod=mod"}) / "clients"


def java_command() -> list[str]:
    """The command that runs a class of `programs/java`; its name is to follow."""
    fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    compile_ = ["javac", "-cp", "jars/*", "-d", "classes", "Sdk.java", "Emf.java"]
    folder = built("java", [fetch, compile_])
    # One small program after another: what a compiler would gain is not worth its threads.
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{folder}/jars/*:{folder}/classes"]


def rust_program() -> Path:
    """The program of `programs/rust`."""
    folder = built("rust", [["cargo", "build", "--quiet"]], environ={"CARGO_TARGET_DIR": "target"})
    return folder / "target" / "debug" / "clients"


def in_background() -> Callable[[], None]:
    """Start to build what takes longest, for the tests that wait for it at the end of a run; returns what ends it."""
    command = [sys.executable, "-m", "tests.clients.toolchains"]
    building = tied(command, cwd=PROGRAMS.parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        building.communicate()  # closes its standard input

    return end


if __name__ == "__main__":
    os.nice(NICENESS)
    with suppress(pytest.skip.Exception):  # the test says it
        rust_program()
