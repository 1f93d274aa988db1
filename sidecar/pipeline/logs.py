"""The way of a log event: log event -> shape -> buffer, and at a flush -> batch -> sink."""

from __future__ import annotations

import asyncio

from sidecar.batch.logs import LogBuffer, encode
from sidecar.config.schema import Logs
from sidecar.decode.cut import UNCUT_CHARACTERS, cut
from sidecar.model.batches import MEMORY_PER_ELEMENT, LogBatch
from sidecar.model.events import LogEvent
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns
from sidecar.shape.routing import Destination, Router


class LogPath:
    """Buffers log events by destination, and sends buffers when it is time."""

    def __init__(
        self,
        config: Logs,
        *,
        open_bytes: int,
        router: Router,
        sink: Sink[LogBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: the section `logs`.
            open_bytes: what all buffers together may hold: 500 streams must not hold a megabyte each.
            router: names the destinations.
            sink: where batches go.
            ledger: where log events are counted.
            limiter: for what is worth a line but may come a million times.
            clock: monotonic time, for destinations that fall idle.
        """
        self._config = config
        self._open_bytes = open_bytes
        self._router = router
        self._sink = sink
        self._keeps = sink.keeps
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock
        self._buffers: dict[Destination, LogBuffer] = {}
        self._buffered_events = 0
        self._buffered_bytes = 0
        self._touched: set[Destination] = set()  # buffers with events that no segment has
        self._commits: set[asyncio.Future[bool]] = set()  # under way
        self.unkept = 0  # how often something was not kept that was to be
        ledger.log_events.holders.append(lambda: self._buffered_events)

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        held = self._buffered_bytes + MEMORY_PER_ELEMENT * self._buffered_events
        return self._sink.room_for(held + size_bytes)

    def prepare(self, event: LogEvent, input_: str) -> tuple[Destination, int, bytes, int]:
        """Route and encode one log event.

        Returns:
            The arguments of `buffer`: destination, milliseconds since the epoch, encoded message, its size in a batch.

        Raises:
            DecodeError: it is not accepted.
        """
        if event.late_stamped:
            self._ledger.adjusted["unreadable_timestamp"] += 1
        if len(event.message) > UNCUT_CHARACTERS:
            event.message, was_cut = cut(event.message)
            if was_cut:
                self._ledger.adjusted["message_cut"] += 1
                self._limiter.warning("message_cut", "a log event is over 1,048,550 bytes and was cut", input=input_)
        router = self._router
        overflowed = router.overflowed
        destination = router.route(event, self._clock.monotonic())
        if router.overflowed > overflowed:
            self._ledger.adjusted["stream_overflow"] += 1
            self._limiter.warning("stream_overflow", "logs.max_streams is reached: events go to the default stream")
        body, size = encode(event.timestamp_ms, event.message)
        return destination, event.timestamp_ms, body, size

    def buffer(self, destination: Destination, timestamp_ms: int, body: bytes, size: int) -> None:
        """Buffer a log event that is prepared; flush what is full."""
        buffer = self._buffers.get(destination)
        if buffer is not None and not buffer.has_room(size):
            # Before, not after: else a request of one event follows each full one.
            self._flush(destination, "threshold")
            buffer = None
        if buffer is None:
            buffer = self._buffers[destination] = LogBuffer()
        buffer.add(timestamp_ms, body, size)
        if self._keeps:
            self._touched.add(destination)
        self._buffered_events += 1
        self._buffered_bytes += size
        if buffer.full(self._config.flush_bytes):
            self._flush(destination, "threshold")
        elif self._buffered_bytes >= self._open_bytes:
            self._flush(max(self._buffers, key=self._size_of), "threshold")

    def save(self) -> None:
        """Have what came since the last call kept on disk, where anything is."""
        for destination in self._touched:
            buffer = self._buffers.get(destination)
            if buffer is None:
                continue
            saved = self._sink.save(LogBatch(*destination, buffer.unsaved()))
            if saved is not None:
                buffer.segments.append(saved[0])
            self._note(None if saved is None else saved[1])
        self._touched.clear()

    async def kept_since(self, unkept: int) -> bool:
        """Wait until what was saved or sent so far is on disk; whether all of it is since `unkept` was read.

        Whoever saves saves for everybody: the events of a body may be on their way with those of a datagram.
        """
        if self._commits:
            await asyncio.wait(set(self._commits))
        return self.unkept == unkept

    def restore(self, segment: int, events: LogBatch) -> None:
        """Put the events of a segment that an earlier process kept back into their buffer."""
        destination = Destination(events.group, events.stream)
        self._buffers.setdefault(destination, LogBuffer()).restore(segment, events.events)
        self._buffered_events += len(events)
        self._buffered_bytes += events.size_bytes

    async def flush(self, cause: str, *, at_once: bool = False) -> None:
        """Send what every buffer holds, with a turn for the sockets every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            at_once: do not yield to the event loop: there is no time left.
        """
        turns = Turns(self._clock.monotonic)
        for destination in list(self._buffers):
            if destination in self._buffers:  # not sent meanwhile
                self._flush(destination, cause)
            if turns.due() and not at_once:
                await turns.give()

    async def run_timer(self) -> None:
        """Flush every `logs.flush_seconds`."""
        while True:
            await asyncio.sleep(self._config.flush_seconds)
            await self.flush("timer")

    def _size_of(self, destination: Destination) -> int:
        return self._buffers[destination].size_bytes

    def _flush(self, destination: Destination, cause: str) -> None:
        buffer = self._buffers.pop(destination)
        self._buffered_events -= len(buffer)
        self._buffered_bytes -= buffer.size_bytes
        self._ledger.flushes["logs", cause] += 1
        segments = buffer.segments
        self._touched.discard(destination)
        kept = self._sink.offer(buffer.take(*destination), segments=segments)
        if self._keeps:
            self._note(kept)

    def _note(self, commit: asyncio.Future[bool] | None) -> None:
        if commit is None:
            self.unkept += 1
            return
        self._commits.add(commit)
        commit.add_done_callback(self._committed)

    def _committed(self, commit: asyncio.Future[bool]) -> None:
        self._commits.discard(commit)
        self.unkept += not commit.result()
