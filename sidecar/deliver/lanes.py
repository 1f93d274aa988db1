"""The order in which parcels are sent: in order within a lane, one at a time, and each lane in its turn.

(asyncio.Queue has neither lanes nor, before Python 3.13, a way to close.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic

from sidecar.deliver.parcel import B, Parcel


class LanesClosedError(Exception):
    """Raised by `take` when the lanes are closed and empty."""


@dataclass(slots=True)
class _Lane(Generic[B]):
    waiting: deque[Parcel[B]] = field(default_factory=deque)
    in_hand: Parcel[B] | None = None
    not_before: float = 0.0  # monotonic seconds

    @property
    def used(self) -> bool:
        return bool(self.waiting) or self.in_hand is not None


class Lanes(Generic[B]):
    """Parcels that wait or are in hand, by lane."""

    def __init__(self, monotonic: Callable[[], float], missing: Callable[[], None] = lambda: None) -> None:
        """Start empty.

        Args:
            monotonic: the clock that retries wait by.
            missing: called when the next parcel of a lane would be sent now and is not in memory.
        """
        self._monotonic = monotonic
        self._missing = missing
        self._lanes: dict[str, _Lane[B]] = {}
        self._parked: list[Parcel[B]] = []
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many parcels wait or are in hand; O(lanes)."""
        return sum(len(lane.waiting) + (lane.in_hand is not None) for lane in self._lanes.values())

    def add(self, parcel: Parcel[B]) -> None:
        """Append to the parcel's lane."""
        self._lanes.setdefault(parcel.lane, _Lane()).waiting.append(parcel)
        self._changed.set()

    def add_first(self, parcels: Sequence[Parcel[B]]) -> None:
        """Insert parcels before all that wait in their lanes, in the order given."""
        for parcel in reversed(parcels):
            self._lanes.setdefault(parcel.lane, _Lane()).waiting.appendleft(parcel)
        self._changed.set()

    def remove(self, parcel: Parcel[B]) -> None:
        """Remove a parcel that waits."""
        lane = self._lanes[parcel.lane]
        if lane.waiting[-1] is parcel:  # a deque searches from its other end
            lane.waiting.pop()
        else:
            lane.waiting.remove(parcel)
        self._forget_unused(parcel.lane, lane)

    def wake(self) -> None:
        """Let `take` look again: parcels have become ready."""
        self._changed.set()

    async def take(self) -> Parcel[B]:
        """Wait for a parcel that is ready and in memory, first in a lane that is neither in hand nor to be retried later.

        The parcel is in hand until `release` or `park`.

        Raises:
            LanesClosedError: closed, and nothing is left.
        """
        while True:
            now = self._monotonic()
            wake_at: float | None = None
            for name, lane in self._lanes.items():
                if lane.in_hand is not None or not lane.waiting or not (first := lane.waiting[0]).ready:
                    continue
                if lane.not_before > now:
                    wake_at = lane.not_before if wake_at is None else min(wake_at, lane.not_before)
                elif first.batch is None:
                    self._missing()
                else:
                    lane.in_hand = lane.waiting.popleft()
                    lane.in_hand.in_hand = True
                    self._lanes[name] = self._lanes.pop(name)  # to the end: every lane gets its turn
                    return first
            if self._closed and not len(self):
                raise LanesClosedError
            self._changed.clear()
            try:
                async with asyncio.timeout(None if wake_at is None else wake_at - now):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def release(self, parcel: Parcel[B], first: Sequence[Parcel[B]] = (), delay: float = 0.0) -> None:
        """End the sending of the parcel in hand.

        Args:
            parcel: as `take` returned it.
            first: what is next in its lane: itself, or its parts.
            delay: seconds before the lane's next request.
        """
        lane = self._lanes[parcel.lane]
        parcel.in_hand, lane.in_hand = False, None
        lane.not_before = self._monotonic() + delay if first else 0.0
        lane.waiting.extendleft(reversed(first))
        self._forget_unused(parcel.lane, lane)
        self._changed.set()

    def park(self, parcel: Parcel[B]) -> None:
        """Put the parcel in hand aside: only `clear` returns it."""
        self.release(parcel)
        self._parked.append(parcel)

    def first_missing(self) -> tuple[Parcel[B], bool] | None:
        """The first parcel of a lane that is not in memory, and whether nothing else could be sent now.

        None where the first parcels of all lanes are in memory or being read.
        """
        now = self._monotonic()
        found: Parcel[B] | None = None
        urgent, sendable = False, False
        for lane in self._lanes.values():
            if not lane.waiting or not (first := lane.waiting[0]).ready:
                continue
            due = lane.in_hand is None and lane.not_before <= now
            if first.batch is not None:
                sendable |= due
            elif found is None or (due and not urgent):
                found, urgent = first, due
        return None if found is None else (found, urgent and not sendable)

    def hurry(self) -> None:
        """Let no lane wait for its retry any longer."""
        for lane in self._lanes.values():
            lane.not_before = 0.0
        self._changed.set()

    def close(self) -> list[Parcel[B]]:
        """Let `take` raise once nothing is left; removes and returns the parcels that are not in memory."""
        self._closed = True
        removed: list[Parcel[B]] = []
        for name, lane in list(self._lanes.items()):
            removed += [parcel for parcel in lane.waiting if parcel.batch is None]
            lane.waiting = deque(parcel for parcel in lane.waiting if parcel.batch is not None)
            self._forget_unused(name, lane)
        self._changed.set()
        return removed

    def clear(self) -> Iterator[Parcel[B]]:
        """Remove and return all that waits or is parked."""
        while self._parked:
            yield self._parked.pop()
        for lane in self._lanes.values():
            while lane.waiting:
                yield lane.waiting.popleft()
        self._changed.set()

    def _forget_unused(self, name: str, lane: _Lane[B]) -> None:
        if not lane.used:
            del self._lanes[name]
