"""Start-up: CPU time until ready, memory while idle, and what `sidecar health` costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.daemon import MeasuredDaemon
from benchmarks.machine import RECEIVER_CORE, ROOT, pinned
from benchmarks.table import Row, Section, megabytes
from tests.support.daemon import free_ports

IDLE_SECONDS: Final = 3.0  # after which the AWS clients, made in the background, are there


def measure(folder: Path, *, quick: bool) -> list[Section]:
    """Measure both targets and the health command."""
    repeats = 1 if quick else 3
    rows = [
        _start(folder, "start, target local", {"deliver": {"target": "local"}}, repeats),
        _start(folder, "start, target cloudwatch", {"deliver": _closed_endpoint()}, repeats),
        *_health(folder, 5 if quick else 15),
    ]
    return [Section("Start-up and health check (ratio: wall time, to an interpreter that does nothing)", rows)]


def _closed_endpoint() -> dict[str, Any]:
    """Delivery to a port where nobody listens."""
    return {"target": "cloudwatch", "endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}"}


def _start(folder: Path, what: str, config: dict[str, Any], repeats: int) -> Row:
    cpu: list[float] = []
    wall: list[float] = []
    resident: list[int] = []
    idle: list[float] = []
    for _ in range(repeats):
        with MeasuredDaemon(folder, config) as daemon:
            ready = daemon.cpu_seconds()
            cpu.append(ready)
            wall.append(daemon.ready_seconds)
            time.sleep(IDLE_SECONDS)
            resident.append(daemon.resident_bytes())
            idle.append(daemon.cpu_seconds() - ready)
    details = (
        f"ready after {median(wall):.2f} s; {median(idle):.2f} CPU s more in the {IDLE_SECONDS:g} s after;"
        f" RSS {megabytes(median(resident))} idle"
    )
    return Row(what, f"{median(cpu):.2f} CPU s to ready", None, details)


def _health(folder: Path, repeats: int) -> list[Row]:
    with MeasuredDaemon(folder, {}) as daemon:
        health = [sys.executable, "-m", "sidecar", "health", "--host", "127.0.0.1", "--port", str(daemon.admin_port)]
        bare_wall, bare_cpu = _command([sys.executable, "-c", "pass"], repeats)
        wall, cpu = _command(health, repeats)
    return [
        Row("python -c pass", f"{bare_wall * 1e3:.0f} ms", 1.0, f"{bare_cpu * 1e3:.0f} ms CPU"),
        Row("sidecar health", f"{wall * 1e3:.0f} ms", wall / bare_wall, f"{cpu * 1e3:.0f} ms CPU"),
    ]


def _command(command: list[str], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of a command, medians.

    Raises:
        CalledProcessError: it failed.
    """
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(repeats):
        with pinned(RECEIVER_CORE):
            started = time.perf_counter()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall.append(time.perf_counter() - started)
        cpu.append(usage.ru_utime + usage.ru_stime)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    return median(wall), median(cpu)
