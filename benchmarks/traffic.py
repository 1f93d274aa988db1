"""What is sent: StatsD lines and JSON bodies, precomputed, the same in every run.

Mixed:     1,000 series, a third each counters, gauges and timers, three tags a line, about 75 bytes.  Timers are
           log-normal around 40 ms with one decimal: over a hundred distinct values a series, as real ones have.
Counters:  100 series, increments of 1.
Timers:    as many series as asked for, one line a series and round.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from struct import pack
from typing import Final

PACKED_BYTES: Final = 1_432  # what DogStatsD clients send: an Ethernet frame less IPv6 or VPN headers
MIXED_LINES: Final = 262_144
COUNTER_LINES: Final = 26_000
EVENTS_PER_BODY: Final = 500
_SEED: Final = 8_125


@dataclass(frozen=True)
class Traffic:
    """Datagrams to be sent in turn, over and over.

    Attributes:
        name: for the table.
        datagrams: in order.
    """

    name: str
    datagrams: list[bytes]

    @cached_property
    def _lines_before(self) -> list[int]:
        """Lines in the first 0, 1, 2, ... datagrams."""
        return [0, *accumulate(datagram.count(b"\n") + 1 for datagram in self.datagrams)]

    def lines(self, datagrams: int) -> int:
        """How many lines the first so many datagrams sent hold."""
        rounds, rest = divmod(datagrams, len(self.datagrams))
        return rounds * self._lines_before[-1] + self._lines_before[rest]

    @cached_property
    def lines_per_datagram(self) -> float:
        """On average."""
        return self._lines_before[-1] / len(self.datagrams)

    def write(self, path: Path) -> None:
        """Write the file the generator reads."""
        path.write_bytes(b"".join(pack("=I", len(datagram)) + datagram for datagram in self.datagrams))


def blank(size_bytes: int) -> Traffic:
    """Datagrams nobody looks into."""
    return Traffic(f"{size_bytes} bytes", [b"x" * size_bytes] * 64)


def mixed_lines(count: int = MIXED_LINES) -> list[bytes]:
    """Lines of 1,000 series in random order: counters, gauges and timers, three tags each."""
    dice = random.Random(_SEED)
    heads = [_series(number) for number in range(1_000)]
    lines = []
    for _ in range(count):
        number = dice.randrange(1_000)
        name, kind, tags = heads[number]
        if kind == "c":
            value = str(dice.randint(1, 10))
        elif kind == "g":
            value = str(dice.randint(0, 1_000))
        else:
            value = f"{dice.lognormvariate(3.7, 0.5):.1f}"
        lines.append(f"{name}:{value}|{kind}|#{tags}".encode())
    return lines


def _series(number: int) -> tuple[str, str, str]:
    """Name, type and tags of one of the mixed series."""
    kind = ("c", "g", "ms")[number % 3]
    what = ("requests", "connections", "latency")[number % 3]
    tags = f"env:production,service:checkout-{number % 20},endpoint:/api/v1/resource/{number}"
    return f"shop.{what}", kind, tags


def counter_lines(count: int = COUNTER_LINES) -> list[bytes]:
    """Increments of 1 on 100 series, in turn."""
    return [b"shop.events:1|c|#env:production,kind:%d" % (number % 100) for number in range(count)]


def timer_lines(series: int, rounds: int) -> list[bytes]:
    """One line a series and round, each round with values of its own."""
    dice = random.Random(_SEED)
    return [
        f"shop.latency:{dice.lognormvariate(3.7, 0.5):.1f}|ms|#env:production,customer:{number}".encode()
        for _ in range(rounds)
        for number in range(series)
    ]


def series_lines(kind: str, series: int, rounds: int) -> list[bytes]:
    """Lines of one type, one a series and round; no value comes twice."""
    return [
        f"shop.{kind}:{index + 1}.{number}|{kind}|#env:production,customer:{number}".encode()
        for index in range(rounds)
        for number in range(10, 10 + series)
    ]


def grown_lines(series: int, rounds: int) -> list[bytes]:
    """Lines as the mixed ones have them, one a series and round, of as many values as rounds."""
    heads = [_series(number) for number in range(series)]
    return [f"{name}:{index + 1}.5|{kind}|#{tags}".encode() for index in range(rounds) for name, kind, tags in heads]


def packed(lines: list[bytes], size_bytes: int = PACKED_BYTES) -> list[bytes]:
    """Lines joined into datagrams of at most so many bytes, in order."""
    datagrams: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > size_bytes:
            datagrams.append(b"\n".join(held))
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    datagrams.append(b"\n".join(held))
    return datagrams


def metric_bodies(count: int, events: int) -> list[bytes]:
    """Bodies of newline-delimited JSON metrics over 200 series."""
    dice = random.Random(_SEED)
    return [b"\n".join(_metric_event(dice) for _ in range(events)) for _ in range(count)]


def log_bodies(count: int, events: int) -> list[bytes]:
    """Bodies of newline-delimited JSON log events, about 200 bytes each."""
    dice = random.Random(_SEED)
    return [b"\n".join(_log_event(dice) for _ in range(events)) for _ in range(count)]


def _metric_event(dice: random.Random) -> bytes:
    event = {
        "name": "Latency",
        "value": dice.randint(1, 100),
        "unit": "Milliseconds",
        "type": "timer",
        "dimensions": {"Service": "checkout", "Environment": "production", "Endpoint": f"/{dice.randrange(200)}"},
    }
    return json.dumps(event).encode()


def _log_event(dice: random.Random) -> bytes:
    event = {
        "level": "info",
        "message": f"answered GET /api/v1/resource/{dice.randrange(10**6)} with 200",
        "service": "checkout",
        "duration_ms": dice.randint(1, 1_000),
        "request_id": f"{dice.getrandbits(128):032x}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    }
    return json.dumps(event).encode()
