"""Batches as rows of the spool, and rows as batches. Pure.

A row's `head` is what all elements share, its `body` their bytes end to end, its `parts` their lengths and numbers:
columns of 64-bit integers, one after another.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from typing import Final, Protocol, TypeVar

import orjson

from sidecar.model.batches import METRICS_LANE, Datums, Events, LogBatch, MetricBatch, log_lane

B = TypeVar("B")

NUMBER_BYTES: Final = 8


class Codec(Protocol[B]):
    """How batches of one signal are written and read."""

    def lane(self, head: str) -> str:
        """The lane of the batch whose head this is; of a damaged head, the head."""
        ...

    def size(self, batch: B) -> int:
        """Bytes of what `encode` gives."""
        ...

    def encode(self, batch: B) -> tuple[str, bytes, bytes]:
        """Head, body and parts of a batch."""
        ...

    def decode(self, head: str, body: bytes, parts: bytes) -> B:
        """The batch of a row.

        Raises:
            ValueError: it is none.
        """
        ...


class MetricCodec:
    """Metric batches: parts are the lengths, then the samples."""

    def lane(self, _head: str) -> str:
        """All metrics share one lane."""
        return METRICS_LANE

    def size(self, batch: MetricBatch) -> int:
        """Bytes of what `encode` gives."""
        return len(batch.namespace) + sum(map(len, batch.datums.bodies)) + 2 * NUMBER_BYTES * len(batch)

    def encode(self, batch: MetricBatch) -> tuple[str, bytes, bytes]:
        """Head, body and parts of a batch."""
        datums = batch.datums
        numbers = array("q", map(len, datums.bodies)) + datums.samples
        return batch.namespace, b"".join(datums.bodies), numbers.tobytes()

    def decode(self, head: str, body: bytes, parts: bytes) -> MetricBatch:
        """The batch of a row."""
        lengths, samples = _columns(parts, 2)
        return MetricBatch(head, Datums(_cut(body, lengths), samples))


class LogCodec:
    """Log batches: parts are the lengths, the timestamps in milliseconds, the sizes as the service counts them."""

    def lane(self, head: str) -> str:
        """The events of one stream share a lane."""
        try:
            return log_lane(*_names(head))
        except ValueError:
            return head

    def size(self, batch: LogBatch) -> int:
        """Bytes of what `encode` gives, give or take the escapes in the names."""
        names = len(batch.group) + len(batch.stream) + len('["",""]')
        return names + sum(map(len, batch.events.bodies)) + 3 * NUMBER_BYTES * len(batch)

    def encode(self, batch: LogBatch) -> tuple[str, bytes, bytes]:
        """Head, body and parts of a batch."""
        events = batch.events
        numbers = array("q", map(len, events.bodies)) + events.stamps + events.sizes
        head = orjson.dumps([batch.group, batch.stream]).decode()
        return head, b"".join(events.bodies), numbers.tobytes()

    def decode(self, head: str, body: bytes, parts: bytes) -> LogBatch:
        """The batch of a row."""
        group, stream = _names(head)
        lengths, stamps, sizes = _columns(parts, 3)
        return LogBatch(group, stream, Events(stamps, _cut(body, lengths), sizes))


def _names(head: str) -> tuple[str, str]:
    """Group and stream.

    Raises:
        ValueError: the head is damaged.
    """
    names = orjson.loads(head)
    if not isinstance(names, list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError("not a group and a stream")
    return names[0], names[1]


def _columns(parts: bytes, count: int) -> list[array[int]]:
    """So many columns of equal length."""
    numbers = array("q")
    numbers.frombytes(parts)
    length, rest = divmod(len(numbers), count)
    if rest:
        raise ValueError("the columns of the parts are not of one length")
    return [numbers[first * length : (first + 1) * length] for first in range(count)]


def _cut(body: bytes, lengths: array[int]) -> list[bytes]:
    """The elements."""
    if min(lengths, default=0) < 0 or sum(lengths) != len(body):
        raise ValueError("parts and body do not fit")
    ends = list(accumulate(lengths, initial=0))
    return [body[first:end] for first, end in pairwise(ends)]
