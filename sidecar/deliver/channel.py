"""Batches that wait to be sent: bounded, in order within a lane, with a say over who waits for a retry.

Full means: the oldest batch that is not being sent makes room, and the caller is told, so that it can be
counted. Nobody who offers ever waits. (asyncio.Queue has neither lanes nor, before Python 3.13, a way to close.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What a channel needs to know of a batch."""

    @property
    def lane(self) -> str:
        """Batches of one lane leave one at a time, in the order in which they came."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What the batch counts against the capacity."""
        ...

    @property
    def units(self) -> int:
        """Samples or log events of the ledger."""
        ...


B = TypeVar("B", bound=Queued)


class ChannelClosedError(Exception):
    """Raised to a taker when the channel is closed and empty."""


@dataclass(slots=True)
class _Lane(Generic[B]):
    waiting: deque[tuple[int, B]] = field(default_factory=deque)  # (sequence number, batch)
    busy: bool = False
    not_before: float = 0.0  # monotonic seconds


class Channel(Generic[B]):
    """A bounded set of lanes.

    `memory_bytes` and `units` cover what waits and what is in hand, until it is settled.
    """

    def __init__(self, capacity_bytes: int, monotonic: Callable[[], float]) -> None:
        """Start empty; `monotonic` is the clock that retries wait by."""
        self.capacity_bytes = capacity_bytes
        self.memory_bytes = 0
        self.units = 0
        self._monotonic = monotonic
        self._lanes: dict[str, _Lane[B]] = {}
        self._parked: list[B] = []
        self._changed = asyncio.Event()
        self._closed = False
        self._sequence = 0

    def __len__(self) -> int:
        """How many batches wait or are in hand."""
        return sum(len(lane.waiting) + lane.busy for lane in self._lanes.values())

    def offer(self, batch: B, *, bounded: bool = True) -> list[B]:
        """Take a batch in; returns those that were pushed out for it, oldest first.

        Args:
            batch: to be sent after all that wait in its lane.
            bounded: False for one whose memory was counted elsewhere until now: nothing is pushed out for it.
        """
        self._sequence += 1
        self._lanes.setdefault(batch.lane, _Lane()).waiting.append((self._sequence, batch))
        self.memory_bytes += batch.memory_bytes
        self.units += batch.units
        evicted: list[B] = []
        while bounded and self.memory_bytes > self.capacity_bytes:
            oldest = self.drop_oldest()
            if oldest is None:
                break
            evicted.append(oldest)
        self._changed.set()
        return evicted

    def drop_oldest(self) -> B | None:
        """Take the oldest batch that waits out, so that it makes room; None where none does."""
        oldest = min(
            (lane for lane in self._lanes.values() if lane.waiting), key=lambda lane: lane.waiting[0][0], default=None
        )
        if oldest is None:
            return None
        _, batch = oldest.waiting.popleft()
        self._forget(batch)
        if not oldest.waiting and not oldest.busy:
            del self._lanes[batch.lane]
        return batch

    def take_back(self) -> B | None:
        """Take the newest batch that waits out again; None where none does."""
        newest = max(
            (lane for lane in self._lanes.values() if lane.waiting), key=lambda lane: lane.waiting[-1][0], default=None
        )
        if newest is None:
            return None
        _, batch = newest.waiting.pop()
        self._forget(batch)
        if not newest.waiting and not newest.busy:
            del self._lanes[batch.lane]
        return batch

    async def take(self) -> B:
        """Wait for a batch of a lane that is neither being sent nor waiting for its retry.

        The taker owes the channel one `settle` or `put_back`.

        Raises:
            ChannelClosedError: closed, and nothing is left.
        """
        while True:
            now = self._monotonic()
            wake_at: float | None = None
            for name, lane in self._lanes.items():
                if lane.busy or not lane.waiting:
                    continue
                if lane.not_before <= now:
                    lane.busy = True
                    self._lanes[name] = self._lanes.pop(name)  # to the end: every lane gets its turn
                    return lane.waiting.popleft()[1]
                wake_at = lane.not_before if wake_at is None else min(wake_at, lane.not_before)
            if self._closed and not len(self):
                raise ChannelClosedError
            self._changed.clear()
            try:
                async with asyncio.timeout(None if wake_at is None else wake_at - now):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def settle(self, batch: B) -> None:
        """The batch in hand is done with: delivered or dropped."""
        self._forget(batch)
        lane = self._lanes[batch.lane]
        lane.busy = False
        if not lane.waiting:
            del self._lanes[batch.lane]
        self._changed.set()

    def put_back(self, batch: B, parts: Sequence[B], delay: float) -> None:
        """Return what is left of the batch in hand to the front of its lane.

        Args:
            batch: the batch that was taken.
            parts: what stands in its place: itself, or what it was split into.
            delay: seconds before the lane is taken from again.
        """
        self._forget(batch)
        lane = self._lanes[batch.lane]
        lane.busy = False
        lane.not_before = self._monotonic() + delay
        for part in reversed(parts):
            # Sequence 0: what was once in hand is older than whatever waits.
            lane.waiting.appendleft((0, part))
            self.memory_bytes += part.memory_bytes
            self.units += part.units
        if not lane.waiting:
            del self._lanes[batch.lane]
        self._changed.set()

    def hurry(self) -> None:
        """Let no lane wait for its retry any longer."""
        for lane in self._lanes.values():
            lane.not_before = 0.0
        self._changed.set()

    def close(self) -> None:
        """No more offers will come: takers are told once nothing is left."""
        self._closed = True
        self._changed.set()

    def park(self, batch: B) -> None:
        """Put the batch in hand aside: it had its last attempt, and only `clear` will give it out again."""
        lane = self._lanes[batch.lane]
        lane.busy = False
        if not lane.waiting:
            del self._lanes[batch.lane]
        self._parked.append(batch)
        self._changed.set()

    def clear(self) -> Iterator[B]:
        """Give up everything that waits or is put aside; each batch is handed over once."""
        while self._parked:
            batch = self._parked.pop()
            self._forget(batch)
            yield batch
        for lane in self._lanes.values():
            while lane.waiting:
                _, batch = lane.waiting.popleft()
                self._forget(batch)
                yield batch
        self._changed.set()

    def _forget(self, batch: B) -> None:
        self.memory_bytes -= batch.memory_bytes
        self.units -= batch.units
