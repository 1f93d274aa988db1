"""The load generator: a process of its own on a core of its own.

`generator.c`, compiled when needed; where there is no C compiler, the same in Python, which takes half again as
long a datagram.  Either shows its ceiling: how fast it sends to a socket that nobody reads.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from
from typing import Final

from benchmarks.machine import ROOT, SENDER_CORE, pinned
from benchmarks.traffic import Traffic

_SOURCE: Final = Path(__file__).with_name("generator.c")
_BURST: Final = 32
_ARREARS_SECONDS: Final = 0.0005  # see generator.c
_PATIENCE: Final = 10.0  # times as long as it should take
_SPARE_SECONDS: Final = 10.0  # what a run may take beyond its time before it is given up


@dataclass(frozen=True)
class Sent:
    """What went out.

    Attributes:
        datagrams: sent; none is lost on the way to a loopback socket's buffer.
        seconds: taken.
    """

    datagrams: int
    seconds: float

    @property
    def rate(self) -> float:
        """Datagrams a second."""
        return self.datagrams / self.seconds


class Generator:
    """Sends traffic to a port on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        """Compile the generator into `folder`, which also takes the files it reads."""
        self._folder = folder
        compiler = shutil.which("cc")
        if compiler is None:
            sys.stderr.write("no C compiler: the load comes from Python, and may be what limits the bare loop\n")
            self._command = [sys.executable, "-m", "benchmarks.generator"]
        else:
            binary = folder / "generator"
            subprocess.run([compiler, "-O2", "-o", str(binary), str(_SOURCE)], check=True)
            self._command = [str(binary)]
        self._files: dict[str, Path] = {}

    @property
    def language(self) -> str:
        """What it is written in."""
        return "Python" if "-m" in self._command else "C"

    def send(self, traffic: Traffic, port: int, rate: float, seconds: float, most: int = 0) -> Sent:
        """Send, and wait for the end.

        Args:
            traffic: what.
            port: where to.
            rate: datagrams a second; 0: as fast as they go.
            seconds: how long.
            most: datagrams after which it ends before that; 0: however many.
        """
        path = self._files.get(traffic.name)
        if path is None:
            path = self._files[traffic.name] = self._folder / f"datagrams-{len(self._files)}"
            traffic.write(path)
        with pinned(SENDER_CORE):
            answer = subprocess.run(
                [*self._command, str(port), str(path), str(rate), str(seconds), str(most)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                timeout=seconds + _SPARE_SECONDS,
            )
        datagrams, nanoseconds = map(int, answer.stdout.split())
        return Sent(datagrams, nanoseconds / 1e9)

    def send_all(self, traffic: Traffic, port: int, rate: float, datagrams: int = 0) -> Sent:
        """Send so many datagrams (0: each once) at so many a second, however long it takes."""
        most = datagrams or len(traffic.datagrams)
        return self.send(traffic, port, rate, _PATIENCE * most / rate + _SPARE_SECONDS, most)

    def ceiling(self, traffic: Traffic, seconds: float) -> float:
        """Datagrams a second it sends to a socket that nobody reads."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
            unread.bind(("127.0.0.1", 0))
            return self.send(traffic, unread.getsockname()[1], 0, seconds).rate


def _read(path: Path) -> list[bytes]:
    data = path.read_bytes()
    datagrams: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = unpack_from("=I", data, at)
        datagrams.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return datagrams


def main(arguments: list[str]) -> None:
    """Do what generator.c does, with the same arguments and the same answer."""
    port, path, rate, seconds = int(arguments[0]), Path(arguments[1]), float(arguments[2]), float(arguments[3])
    most = int(arguments[4])
    datagrams = _read(path)
    step = 1.0 / rate if rate else 0.0
    now_at = time.perf_counter
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect(("127.0.0.1", port))
        send = made.send
        started = due_at = now = now_at()
        ends = started + seconds
        while now < ends and (not most or sent < most):
            size = min(_BURST, most - sent) if most else _BURST
            if step:
                due_at = max(due_at, now - _ARREARS_SECONDS)
                size = min(size, int((now - due_at) / step + 1) if now >= due_at else 0)
            first = sent % len(datagrams)
            burst = datagrams[first : first + size]
            for datagram in burst:
                send(datagram)
            sent += len(burst)
            due_at += len(burst) * step
            now = now_at()
    sys.stdout.write(f"{sent} {int((now - started) * 1e9)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
