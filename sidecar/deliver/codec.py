"""Batches as rows of the spool, and rows as batches. Pure.

A row's `head` says what all elements share, its `body` holds their bytes end to end, its `parts` what is needed to
tell them apart: per element three 64-bit integers.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Final, Protocol, TypeVar

import orjson

from sidecar.model import Datum, EncodedEvent, LogBatch, MetricBatch

B = TypeVar("B")

PART_BYTES: Final = 24  # of an element: three integers


class Codec(Protocol[B]):
    """How batches of one signal are written and read."""

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
    """Metric batches: parts are length, samples, 0."""

    def size(self, batch: MetricBatch) -> int:
        """Bytes of what `encode` gives."""
        return len(batch.namespace) + sum([len(datum.body) for datum in batch.datums]) + PART_BYTES * len(batch)

    def encode(self, batch: MetricBatch) -> tuple[str, bytes, bytes]:
        """Head, body and parts of a batch."""
        numbers = array("q", chain.from_iterable([(len(body), samples, 0) for body, samples in batch.datums]))
        return batch.namespace, b"".join([datum.body for datum in batch.datums]), numbers.tobytes()

    def decode(self, head: str, body: bytes, parts: bytes) -> MetricBatch:
        """The batch of a row."""
        return MetricBatch(head, tuple([Datum(body[at:end], samples) for at, end, samples, _ in _cuts(body, parts)]))


class LogCodec:
    """Log batches: parts are length, timestamp in milliseconds, size as the service counts it."""

    def size(self, batch: LogBatch) -> int:
        """Bytes of what `encode` gives, give or take the escapes in the names."""
        names = len(batch.group) + len(batch.stream) + len('["",""]')
        return names + sum([len(event.body) for event in batch.events]) + PART_BYTES * len(batch)

    def encode(self, batch: LogBatch) -> tuple[str, bytes, bytes]:
        """Head, body and parts of a batch."""
        numbers = array("q", chain.from_iterable([(len(body), stamp, size) for stamp, body, size in batch.events]))
        head = orjson.dumps([batch.group, batch.stream]).decode()
        return head, b"".join([event.body for event in batch.events]), numbers.tobytes()

    def decode(self, head: str, body: bytes, parts: bytes) -> LogBatch:
        """The batch of a row."""
        named = orjson.loads(head)
        if not isinstance(named, list) or len(named) != 2 or not all(isinstance(name, str) for name in named):
            raise ValueError("not a group and a stream")
        group, stream = named
        events = [EncodedEvent(stamp, body[at:end], size) for at, end, stamp, size in _cuts(body, parts)]
        return LogBatch(group, stream, tuple(events))


def _cuts(body: bytes, parts: bytes) -> list[tuple[int, int, int, int]]:
    """Start, end and the two numbers of each element."""
    numbers = array("q")
    numbers.frombytes(parts)
    lengths = numbers[0::3]
    if len(numbers) % 3 or min(lengths, default=0) < 0 or sum(lengths) != len(body):
        raise ValueError("parts and body do not fit")
    cuts: list[tuple[int, int, int, int]] = []
    at = 0
    for length, first, second in zip(lengths, numbers[1::3], numbers[2::3], strict=True):
        cuts.append((at, at + length, first, second))
        at += length
    return cuts
