"""Buffers of log events by destination; a flush batches them and offers the batches to the sink."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from sidecar.batch.logs import LogBuffer
from sidecar.config.schema import Logs
from sidecar.model.batches import MEMORY_PER_ELEMENT, LogBatch
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.sink import Sink
from sidecar.runtime.turns import Turns
from sidecar.shape.routing import Destination


@dataclass(slots=True)
class _Sorting:
    """A buffer that is flushed, while its events are sorted slice by slice.

    Attributes:
        destination: of its events.
        events: how many.
        size_bytes: of all of them.
        segments: ids of the segments that have them.
        work: see `LogBuffer.take`.
    """

    destination: Destination
    events: int
    size_bytes: int
    segments: list[int]
    work: Generator[None, None, list[LogBatch]]


class LogBuffers:
    """Buffers log events by destination, and flushes the buffers by time, size or drain.

    A buffer of many events that did not arrive in the order of their times is sorted slice by slice, and its batches are
    offered to the sink after that. Until then other flushed buffers wait, so that every stream stays in order.

    Attributes:
        not_durable: how many times something was not written to the spool.
    """

    def __init__(self, config: Logs, *, open_bytes: int, sink: Sink[LogBatch], observer: Observer) -> None:
        """Start empty.

        Args:
            config: the section `logs`.
            open_bytes: the largest size of all buffers together, and of what is being sorted: 500 streams must not
                buffer a megabyte each.
            sink: where batches go.
            observer: counts, and reads the clock.
        """
        self._config = config
        self._open_bytes = open_bytes
        self._sink = sink
        self._durable = sink.durable
        self._flush_counts = observer.ledger.flushes
        self._monotonic = observer.clock.monotonic
        self._buffers: dict[Destination, LogBuffer] = {}
        self._buffered_events = 0
        self._buffered_bytes = 0
        self._sorting: deque[_Sorting] = deque()  # in the order in which they were flushed
        self._sorting_events = 0
        self._sorting_bytes = 0
        self._to_sort = asyncio.Event()
        self._touched: set[Destination] = set()  # buffers with events that no segment has
        self._commits: set[asyncio.Future[bool]] = set()  # under way
        self.not_durable = 0
        observer.ledger.log_events.holders.append(lambda: self._buffered_events + self._sorting_events)

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        events = self._buffered_events + self._sorting_events
        held = self._buffered_bytes + self._sorting_bytes + MEMORY_PER_ELEMENT * events
        return self._sink.room_for(held + size_bytes)

    def buffer(self, destination: Destination, timestamp_ms: int, body: bytes, size: int) -> None:
        """Buffer a log event, by what `LogPath.prepare` returned; flush what is full."""
        buffer = self._buffers.get(destination)
        if buffer is not None and not buffer.has_room(size):
            # Flushed before adding: otherwise a request of one event would follow each full one.
            self._flush(destination, "threshold")
            buffer = None
        if buffer is None:
            buffer = self._buffers[destination] = LogBuffer()
        buffer.add(timestamp_ms, body, size)
        if self._durable:
            self._touched.add(destination)
        self._buffered_events += 1
        self._buffered_bytes += size
        if buffer.full(self._config.flush_bytes):
            self._flush(destination, "threshold")
        elif self._buffered_bytes >= self._open_bytes:
            self._flush(max(self._buffers, key=self._size_of), "threshold")

    def save(self) -> None:
        """Write what was buffered since the last call to the spool, where there is one."""
        for destination in self._touched:
            buffer = self._buffers.get(destination)
            if buffer is not None:
                self._save(destination, buffer)
        self._touched.clear()

    def _save(self, destination: Destination, buffer: LogBuffer) -> None:
        saved = self._sink.save(LogBatch(*destination, buffer.unsaved()))
        if saved is not None:
            buffer.segments.append(saved[0])
        self._note(None if saved is None else saved[1])

    async def durable_since(self, not_durable: int) -> bool:
        """Wait until all writes so far have ended; True if none failed since `not_durable` was read.

        One write covers all buffers: the events of a body may be in one that a datagram started.
        """
        if self._commits:
            await asyncio.wait(set(self._commits))
        return self.not_durable == not_durable

    def restore(self, segment: int, events: LogBatch) -> None:
        """Put the events of a segment that an earlier process wrote back into their buffer."""
        destination = Destination(events.group, events.stream)
        self._buffers.setdefault(destination, LogBuffer()).restore(segment, events.events)
        self._buffered_events += len(events)
        self._buffered_bytes += events.size_bytes

    async def flush(self, cause: str, *, at_once: bool = False) -> None:
        """Batch what every buffer holds and offer it to the sink, yielding to the event loop every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            at_once: do not yield to the event loop, since there is no time left.
        """
        turns = Turns(self._monotonic)
        await self._sort_all(turns, at_once=at_once)
        for destination in list(self._buffers):
            if destination in self._buffers:  # not flushed meanwhile
                self._flush(destination, cause)
            await self._sort_all(turns, at_once=at_once)
            if turns.due() and not at_once:
                await turns.give()

    async def run_sorting(self) -> None:
        """Sort the events of full buffers whose sorting takes long."""
        while True:
            await self._to_sort.wait()
            self._to_sort.clear()
            await self._sort_all(Turns(self._monotonic), at_once=False)

    async def run_timer(self) -> None:
        """Flush every `logs.flush_seconds`."""
        while True:
            await asyncio.sleep(self._config.flush_seconds)
            await self.flush("timer")

    def _size_of(self, destination: Destination) -> int:
        return self._buffers[destination].size_bytes

    def _flush(self, destination: Destination, cause: str) -> None:
        buffer = self._buffers.pop(destination)
        events, size = len(buffer), buffer.size_bytes
        self._flush_counts["logs", cause] += 1
        later = buffer.takes_long or bool(self._sorting)
        if later and destination in self._touched:
            self._save(destination, buffer)  # an answer may wait until its events are on disk
        self._touched.discard(destination)
        self._buffered_events -= events
        self._buffered_bytes -= size
        self._sorting_events += events
        self._sorting_bytes += size
        self._sorting.append(_Sorting(destination, events, size, buffer.segments, buffer.take(*destination)))
        if later:
            self._to_sort.set()
        while self._sorting and (not later or self._sorting_bytes > self._open_bytes):
            self._sort()

    async def _sort_all(self, turns: Turns, *, at_once: bool) -> None:
        while self._sorting:
            self._sort()
            if turns.half() and not at_once:
                await turns.give()

    def _sort(self) -> None:
        """Do one slice of sorting; offer the batches of a buffer that is finished."""
        first = self._sorting[0]
        try:
            next(first.work)
        except StopIteration as stop:
            batches: list[LogBatch] = stop.value
        else:
            return
        self._sorting.popleft()
        self._sorting_events -= first.events
        self._sorting_bytes -= first.size_bytes
        commit = self._sink.offer(batches, segments=first.segments)
        if self._durable:
            self._note(commit)

    def _note(self, commit: asyncio.Future[bool] | None) -> None:
        if commit is None:
            self.not_durable += 1
            return
        self._commits.add(commit)
        commit.add_done_callback(self._committed)

    def _committed(self, commit: asyncio.Future[bool]) -> None:
        self._commits.discard(commit)
        self.not_durable += not commit.result()
