"""Clients in other languages: installed or compiled once a machine, in a cache that later runs and checkouts share.

The cache is `$CLIENTS_CACHE`, else `~/.cache/cloudwatch-sidecar-clients`. Each client has a folder of its own there,
named after its sources, with all that was downloaded for it; a change of a source or version makes another one. What
takes minutes is built by `make clients` and used by `make test` once it is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

PROGRAMS: Final = Path(__file__).with_name("programs")
BUILD_SECONDS: Final = 100
PATIENT_SECONDS: Final = 1_200  # where `make clients` asks for it
AGAIN_SECONDS: Final = 600  # after a failure, so that the other tests of a run do not wait for the same one


def _cache() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudwatch-sidecar-clients"
    return Path(os.environ.get("CLIENTS_CACHE") or default)


def built(
    name: str,
    commands: Sequence[Sequence[str]],
    *,
    sources: Sequence[str] = (),
    slow: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Path:
    """The folder of a client with everything in it; skips the test where it cannot be built here.

    Args:
        name: the folder under `programs/` that is copied there first.
        commands: build it, run in a copy of that folder.
        sources: the names of the files that are copied; all of them without.
        slow: it takes minutes: it is built only where CLIENTS_BUILD is set, as by `make clients`.
        environ: further variables of the commands.
    """
    patient = bool(os.environ.get("CLIENTS_BUILD"))
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
            try:  # another worker may be building it
                fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if slow and not patient else 0))
            except BlockingIOError:
                pytest.skip(f"{name} is being built, which takes minutes")
        if not folder.exists():
            _build(name, files, commands, folder, environ or {}, may=patient or not slow)
    return folder


def _build(
    name: str,
    files: Sequence[Path],
    commands: Sequence[Sequence[str]],
    folder: Path,
    environ: Mapping[str, str],
    *,
    may: bool,
) -> None:
    patient = bool(os.environ.get("CLIENTS_BUILD"))
    if not may:
        pytest.skip(f"{name} takes minutes to build: run `make clients` once")
    failed = folder.with_name(f"{folder.name}.failed")
    if failed.exists() and not patient and time.time() - failed.stat().st_mtime < AGAIN_SECONDS:
        pytest.skip(failed.read_text())
    building = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
    try:
        for file in files:
            target = building / file.relative_to(PROGRAMS / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        problem = _run(commands, building, PATIENT_SECONDS if patient else BUILD_SECONDS, environ)
        if problem is None:
            building.rename(folder)
            return
    finally:
        shutil.rmtree(building, ignore_errors=True)
    failed.write_text(problem)
    if patient:
        pytest.fail(problem)
    pytest.skip(problem)


def _run(commands: Sequence[Sequence[str]], folder: Path, seconds: float, environ: Mapping[str, str]) -> str | None:
    for command in commands:
        try:
            ran = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{' '.join(command[:2])} took more than {seconds} s: `make clients` waits for it"
        if ran.returncode:
            last = ran.stdout.decode(errors="replace").strip().splitlines()[-3:]
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
    folder = built("rust", [["cargo", "build", "--quiet"]], slow=True, environ={"CARGO_TARGET_DIR": "target"})
    return folder / "target" / "debug" / "clients"
