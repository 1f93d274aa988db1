"""How long datagrams wait for an event loop to come round: what sends them, what notes it, and what it amounts to.

A datagram holds the sender's CLOCK_MONOTONIC, which all processes share, and its reader notes now less that.  One
goes out every 150 us, so that a loop that does not come round for some milliseconds has many of them waiting, and a
share of the datagrams is about a share of the time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from types import TracebackType
from typing import Final, Self

from benchmarks.machine import ROOT, SENDER_CORE, pinned

INTERVAL_NS: Final = 150_000
_STAMP: Final = Struct("=q")
_BURST: Final = 128
_BUFFER_BYTES: Final = 4_194_304
_LOOK_EVERY: Final = 32  # datagrams between two looks whether it is over
_END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Delays:
    """What became of the datagrams of some time.

    Attributes:
        count: datagrams.
        p999_ms: all but one in a thousand waited less.
        max_ms: the longest wait.
    """

    count: int
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Self:
        """Sum up waits."""
        if not nanoseconds:
            return cls(0, 0.0, 0.0)
        ascending = sorted(nanoseconds)
        return cls(len(ascending), ascending[len(ascending) * 999 // 1_000] / 1e6, ascending[-1] / 1e6)

    def __str__(self) -> str:
        return f"p99.9 {self.p999_ms:.2f} ms, max {self.max_ms:.2f} ms"


class DelayReader:
    """Notes the waits, on the loop that is measured."""

    def __init__(self) -> None:
        """Bind a port; nothing is read yet."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._delays = array("q")

    def open(self) -> None:
        """Start to read."""
        asyncio.get_running_loop().add_reader(self._socket, self._burst)

    def close(self) -> None:
        """Stop."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def take(self) -> list[int]:
        """Nanoseconds of every wait since the last call."""
        delays, self._delays = self._delays, array("q")
        return delays.tolist()

    def _burst(self) -> None:
        receive, note, now = self._socket.recv, self._delays.append, time.monotonic_ns
        with suppress(BlockingIOError):
            for _ in range(_BURST):
                (sent,) = _STAMP.unpack(receive(_STAMP.size))
                note(now() - sent)


class Prober:
    """Sends the datagrams from a process on the sender's core, for as long as the context lasts."""

    def __init__(self, port: int) -> None:
        """Take the port of a DelayReader."""
        self._port = port
        self.longest_gap_ms = 0.0
        """Between two datagrams, known at the end: how long the sender itself was kept from its core."""

    def __enter__(self) -> Self:
        with pinned(SENDER_CORE):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.delays", str(self._port)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it sends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            told, _ = self._process.communicate(timeout=_END_SECONDS)
            self.longest_gap_ms = json.loads(told)["longest_gap_ns"] / 1e6
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()


def main(arguments: list[str]) -> None:
    """Send until the input ends, never sleeping: a sleep would be as long as the system likes."""
    gc.disable()
    now_at = time.monotonic_ns
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect(("127.0.0.1", int(arguments[0])))
        send, pack = made.send, _STAMP.pack
        print("sending", flush=True)
        longest = sent = 0
        last = due = now_at()
        while sent % _LOOK_EVERY or not select.select([sys.stdin], [], [], 0)[0]:
            while (now := now_at()) < due:
                pass
            with suppress(ConnectionRefusedError):
                send(pack(now_at()))
            longest = max(longest, now - last)
            last = now
            due = now + INTERVAL_NS
            sent += 1
    print(json.dumps({"longest_gap_ns": longest}))


if __name__ == "__main__":
    main(sys.argv[1:])
