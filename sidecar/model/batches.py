"""Encoded datums and log events, and batches of them the size of one request."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

MEMORY_PER_ELEMENT: Final = 100  # bytes an encoded datum or event takes beside its own, its quotes escaped
MEMORY_PER_BATCH: Final = 600

METRICS_LANE: Final = "metrics"

_OPENING: Final = b'{"Namespace":%b,"MetricData":['
_CLOSING: Final = b"]}"


def log_lane(group: str, stream: str) -> str:
    """The lane of a stream's batches."""
    return f"{group}\n{stream}"


class Datum(NamedTuple):
    """One encoded element of MetricData.

    Attributes:
        body: its JSON.
        samples: how many samples of the ledger it carries; may be 0 for a part of a split distribution.
    """

    body: bytes
    samples: int


@dataclass(slots=True)
class Datums:
    """Encoded datums, in columns: nothing for the garbage collector to walk, as with `Events`.

    Attributes:
        bodies: the JSON of each.
        samples: how many samples of the ledger each carries, 64 bit.
    """

    bodies: list[bytes] = field(default_factory=list)
    samples: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        """How many."""
        return len(self.bodies)

    def add(self, body: bytes, samples: int) -> None:
        """Append one."""
        self.bodies.append(body)
        self.samples.append(samples)

    def pick(self, indices: Sequence[int]) -> Datums:
        """Those of these indices, in their order."""
        bodies, samples = self.bodies, self.samples
        return Datums([bodies[i] for i in indices], array("q", [samples[i] for i in indices]))


@dataclass(slots=True)
class MetricBatch:
    """The datums of one request, all of one namespace.

    Attributes:
        size_bytes: the length of `body()`, before compression.
        memory_bytes: what it takes in memory, about.
        units: samples of the ledger.
    """

    namespace: str
    datums: Datums
    size_bytes: int = field(init=False)
    memory_bytes: int = field(init=False)
    units: int = field(init=False)

    def __post_init__(self) -> None:
        """Measure once what is asked often."""
        commas = len(self.datums) - 1
        datums = sum(map(len, self.datums.bodies))
        self.size_bytes = self.frame_bytes(self.namespace) + datums + commas
        self.memory_bytes = datums + MEMORY_PER_ELEMENT * len(self.datums) + MEMORY_PER_BATCH
        self.units = sum(self.datums.samples)

    @staticmethod
    def frame_bytes(namespace: str) -> int:
        """The length of a body without its datums."""
        return len(_OPENING % orjson.dumps(namespace)) + len(_CLOSING)

    @property
    def lane(self) -> str:
        """What must stay in order: nothing, so all metrics share one lane."""
        return METRICS_LANE

    def __len__(self) -> int:
        """How many datums."""
        return len(self.datums)

    def body(self) -> bytes:
        """The finished request body, JSON as the AWS JSON 1.0 protocol has it."""
        parts = b",".join(self.datums.bodies)
        return (_OPENING % orjson.dumps(self.namespace)) + parts + _CLOSING

    def part(self, indices: Iterable[int]) -> MetricBatch:
        """A batch of some of the datums, in their order."""
        return MetricBatch(self.namespace, self.datums.pick(list(indices)))

    def describe(self, index: int) -> str:
        """One datum, readable, for a log line."""
        return self.datums.bodies[index][:300].decode("utf-8", "replace")

    def units_of(self, index: int) -> int:
        """Samples of the ledger in one datum."""
        return self.datums.samples[index]


@dataclass(slots=True)
class Events:
    """Encoded log events, in columns.

    A list of bytes and two arrays are nothing for the garbage collector to walk: with an object an event, collections
    took up to 11 ms while 90,000 were sent.

    Attributes:
        stamps: milliseconds since the epoch, 64 bit.
        bodies: the JSON of each: an element of `logEvents`.
        sizes: what the service counts each as: the message's UTF-8 bytes plus 26, 64 bit.
    """

    stamps: array[int] = field(default_factory=lambda: array("q"))
    bodies: list[bytes] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        """How many."""
        return len(self.bodies)

    def add(self, timestamp_ms: int, body: bytes, size_bytes: int) -> None:
        """Append one."""
        self.stamps.append(timestamp_ms)
        self.bodies.append(body)
        self.sizes.append(size_bytes)

    def extend(self, more: Events) -> None:
        """Append others."""
        self.stamps.extend(more.stamps)
        self.bodies.extend(more.bodies)
        self.sizes.extend(more.sizes)

    def range(self, first: int, end: int) -> Events:
        """Those from `first` to before `end`."""
        return Events(self.stamps[first:end], self.bodies[first:end], self.sizes[first:end])

    def pick(self, indices: Sequence[int]) -> Events:
        """Those of these indices, in their order."""
        stamps, bodies, sizes = self.stamps, self.bodies, self.sizes
        return Events(
            array("q", [stamps[i] for i in indices]),
            [bodies[i] for i in indices],
            array("q", [sizes[i] for i in indices]),
        )


@dataclass(slots=True)
class LogBatch:
    """The events of one request, in time order, all of one stream.

    Attributes:
        size_bytes: what the service counts: message bytes and 26 an event.
        memory_bytes: what it takes in memory, about.
    """

    group: str
    stream: str
    events: Events
    size_bytes: int = field(init=False)
    memory_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Measure once what is asked often."""
        self.size_bytes = sum(self.events.sizes)
        self.memory_bytes = self.size_bytes + MEMORY_PER_ELEMENT * len(self.events) + MEMORY_PER_BATCH

    @property
    def lane(self) -> str:
        """What must stay in order: the events of one stream."""
        return log_lane(self.group, self.stream)

    @property
    def units(self) -> int:
        """Log events of the ledger in this batch."""
        return len(self.events)

    def __len__(self) -> int:
        """How many events."""
        return len(self.events)

    def body(self) -> bytes:
        """The finished request body, JSON as the AWS JSON 1.1 protocol has it."""
        frame = orjson.dumps({"logGroupName": self.group, "logStreamName": self.stream})
        return frame[:-1] + b',"logEvents":[' + b",".join(self.events.bodies) + b"]}"

    def part(self, indices: Iterable[int]) -> LogBatch:
        """A batch of some of the events, in their order."""
        return LogBatch(self.group, self.stream, self.events.pick(list(indices)))

    def describe(self, index: int) -> str:
        """Which event, for a log line: where and when, never what it says."""
        stamp, size = self.events.stamps[index], self.events.sizes[index]
        return f"{self.group} {self.stream} at {stamp} ms, {size} bytes"

    def units_of(self, _index: int) -> int:
        """An event is one unit of the ledger."""
        return 1
