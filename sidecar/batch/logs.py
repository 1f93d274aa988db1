"""Encoded log events, and batches of them the size of one PutLogEvents request. Pure.

Source: the PutLogEvents page of the API reference, read 2026-11-20: at most 10,000 events and 1,048,576 bytes,
where an event counts its UTF-8 message and 26 bytes; ascending by timestamp; at most 24 hours from the oldest
to the newest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator
from typing import Final

import orjson

from sidecar.model.batches import Events, LogBatch
from sidecar.model.limits import EVENTS_PER_REQUEST, LOG_EVENT_OVERHEAD_BYTES, LOG_REQUEST_BYTES, LOG_REQUEST_SPAN_MS

SLICE_EVENTS: Final = 500  # sorted at once: 0.3 ms
PIECE_CHARACTERS: Final = 16_384  # of a long message, encoded at once: 0.1 ms where many are escaped
SAMPLES: Final = 8  # times looked at for each such part


def encode(timestamp_ms: int, message: str) -> tuple[bytes, int]:
    """Encode one log event: its JSON, and what the service counts it as, message bytes and 26.

    A message over the service's limit must have been cut before (`decode.cut`).
    """
    body = b'{"timestamp":%d,"message":%b}' % (timestamp_ms, orjson.dumps(message))
    # isascii() is a flag of the string: only other text has to be encoded to be measured.
    length = len(message) if message.isascii() else len(message.encode())
    return body, length + LOG_EVENT_OVERHEAD_BYTES


def encode_in_turns(timestamp_ms: int, message: str) -> Generator[None, None, tuple[bytes, int]]:
    """Encode one log event with a long message, as `encode` does; yields None where the caller is to let others run."""
    pieces = [b'{"timestamp":%d,"message":"' % timestamp_ms]
    length = len(message) if message.isascii() else 0
    for first in range(0, len(message), PIECE_CHARACTERS):
        piece = message[first : first + PIECE_CHARACTERS]
        pieces.append(orjson.dumps(piece)[1:-1])
        if not message.isascii():
            length += len(piece.encode())
        yield
    pieces.append(b'"}')
    return b"".join(pieces), length + LOG_EVENT_OVERHEAD_BYTES


class LogBuffer:
    """The events of one stream that wait for the next flush."""

    __slots__ = ("_events", "_ordered", "_unsaved", "segments", "size_bytes")

    def __init__(self) -> None:
        """Start empty."""
        self._events = Events()
        self._ordered = True  # by time, so far
        self._unsaved = 0  # events at the end that no segment has
        self.segments: list[int] = []  # ids of the segments that have the others
        self.size_bytes = 0

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._events)

    def full(self, flush_bytes: int) -> bool:
        """Whether it is time to send: so many bytes, or as many events as a request takes."""
        return self.size_bytes >= flush_bytes or len(self._events.bodies) >= EVENTS_PER_REQUEST

    def has_room(self, size_bytes: int) -> bool:
        """Whether an event of this size still goes into the same request."""
        return self.size_bytes + size_bytes <= LOG_REQUEST_BYTES

    def add(self, timestamp_ms: int, body: bytes, size_bytes: int) -> None:
        """Append an event."""
        events = self._events
        stamps = events.stamps
        if stamps and timestamp_ms < stamps[-1]:
            self._ordered = False
        # Not `events.add`: a call for each event.
        stamps.append(timestamp_ms)
        events.bodies.append(body)
        events.sizes.append(size_bytes)
        self._unsaved += 1
        self.size_bytes += size_bytes

    def restore(self, segment: int, events: Events) -> None:
        """Put back the events of a segment that an earlier process wrote, before those that arrived meanwhile."""
        held, saved = self._events, len(self._events) - self._unsaved
        self._events = held.range(0, saved) if self._unsaved else held
        self._events.extend(events)
        if self._unsaved:
            self._events.extend(held.range(saved, len(held)))
        self._ordered = False
        self.segments.append(segment)
        self.size_bytes += sum(events.sizes)

    def unsaved(self) -> Events:
        """The events since the last call: those no segment has."""
        count = len(self._events)
        events = self._events.range(count - self._unsaved, count)
        self._unsaved = 0
        return events

    @property
    def takes_long(self) -> bool:
        """True if the events are to be sorted, and are too many for that to be done at once."""
        return not self._ordered and len(self._events) > SLICE_EVENTS

    def take(self, group: str, stream: str) -> Generator[None, None, list[LogBatch]]:
        """Empty the buffer into batches: sorted by time, equal times in the order of arrival.

        Yields:
            None where the work takes long: yield to the event loop.
        """
        events, self._events = self._events, Events()
        size, self.size_bytes = self.size_bytes, 0
        if not events:
            return []
        # Sorting what is in order, and looking at each event of what fits a request, took 2 ms of 10,000 events.
        if not self._ordered:
            events = yield from _by_time(events)
            self._ordered = True
        stamps = events.stamps
        short = len(events) <= EVENTS_PER_REQUEST and stamps[-1] - stamps[0] <= LOG_REQUEST_SPAN_MS
        if short and size <= LOG_REQUEST_BYTES:
            return [LogBatch(group, stream, events)]
        batches: list[LogBatch] = []
        for cut in _cuts(events):
            if cut is None:
                yield
            else:
                batches.append(LogBatch(group, stream, events.range(*cut)))
        return batches


def _by_time(events: Events) -> Generator[None, None, Events]:
    """Sort events by time, equal times in their order; yields None after each slice of the work.

    They are distributed to blocks by limits that a sample of the times gives; each block is sorted by itself.
    """
    stamps, count = events.stamps, len(events)
    number = count // SLICE_EVENTS + 1
    sample = sorted(stamps[:: max(1, count // (number * SAMPLES))])
    limits = [sample[len(sample) * block // number] for block in range(1, number)]
    blocks: list[list[int]] = [[] for _ in range(number)]  # indices of events
    for first in range(0, count, SLICE_EVENTS):
        for index, stamp in enumerate(stamps[first : first + SLICE_EVENTS], first):
            blocks[bisect_right(limits, stamp)].append(index)
        yield
    ordered = Events()
    for block in blocks:
        block.sort(key=stamps.__getitem__)
        for first in range(0, len(block), SLICE_EVENTS):  # over one slice where many have the same time
            ordered.extend(events.pick(block[first : first + SLICE_EVENTS]))
            yield
    return ordered


def _cuts(events: Events) -> Iterator[tuple[int, int] | None]:
    """The parts of events in order of time that each fit a request: index of the first event, index after the last.

    None between them, after each slice of the work.
    """
    first = size = 0
    for index, (stamp, one) in enumerate(zip(events.stamps, events.sizes, strict=True)):
        if not index % SLICE_EVENTS:
            yield None
        if index > first and (
            index - first >= EVENTS_PER_REQUEST
            or size + one > LOG_REQUEST_BYTES
            or stamp - events.stamps[first] > LOG_REQUEST_SPAN_MS
        ):
            yield first, index
            first, size = index, 0
        size += one
    yield first, len(events)
