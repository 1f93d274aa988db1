"""Log events that are in the spool and in no batch yet: one segment a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from sidecar.spool.codec import Codec
from sidecar.spool.rows import SegmentRow, insert_segment
from sidecar.spool.writer import Spool

B = TypeVar("B")


@dataclass(slots=True)
class _Segment:
    size_bytes: int
    units: int
    saved: bool  # it is known to be on disk


class Taken(NamedTuple):
    """What segments amount to.

    Attributes:
        size_bytes: against the size of the spool.
        units: of those that are known to be on disk.
    """

    size_bytes: int
    units: int


class Segments(Generic[B]):
    """The segments of one signal."""

    def __init__(self, spool: Spool, codec: Codec[B]) -> None:
        """Start without any."""
        self._spool = spool
        self._codec = codec
        self._segments: dict[int, _Segment] = {}  # {id: segment}

    def save(self, events: B, units: int) -> tuple[int, asyncio.Future[bool]]:
        """Write a segment: its id, and a future that becomes True once it is on disk, False where it could not be."""
        id_ = self._spool.next_id("segment")
        self.count(id_, self._codec.size(events), units, saved=False)

        def row() -> SegmentRow:
            return SegmentRow(id_, *self._codec.encode(events), units)

        done = self._spool.submit(insert_segment(row))
        done.add_done_callback(partial(self._decided, id_))
        return id_, done

    def count(self, id_: int, size_bytes: int, units: int, *, saved: bool) -> None:
        """Count a segment against the size of the spool; `saved` if it is known to be on disk."""
        self._segments[id_] = _Segment(size_bytes, units, saved)
        self._spool.size_bytes += size_bytes

    def take(self, ids: Iterable[int]) -> Taken:
        """What these segments amount to; they are forgotten. Unknown ids count nothing."""
        taken = [self._segments.pop(id_) for id_ in ids if id_ in self._segments]
        return Taken(sum(one.size_bytes for one in taken), sum(one.units for one in taken if one.saved))

    def _decided(self, id_: int, done: asyncio.Future[bool]) -> None:
        if id_ in self._segments:
            self._segments[id_].saved = done.result()
