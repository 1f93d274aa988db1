"""Parcels that wait, within two bounds: the memory of one signal, and the size of the spool.

Where memory is full, the newest parcels that have a row leave it, then the oldest that have none are dropped. Where
the spool is full, the oldest that wait there alone are dropped.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Generic

from sidecar.deliver.disk import Disk
from sidecar.deliver.lanes import Lanes
from sidecar.deliver.memory import Memory
from sidecar.deliver.parcel import B, Parcel
from sidecar.model.errors import Reason
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.spool.writer import Spool

_DROPPED: Final = {
    Reason.MEMORY_FULL: "dropped the oldest batch: deliver.memory_bytes is full",
    Reason.SPOOL_FULL: "dropped the oldest batch: deliver.spool_max_bytes is full",
    Reason.EXPIRED: "dropped a batch that is older than the service accepts",
    Reason.SPOOL_DAMAGED: "dropped a batch that cannot be read from the spool; its row is in the table rejected",
}


class Waiting(Generic[B]):
    """The parcels of one signal: in their lanes, in memory or on disk alone.

    Attributes:
        lanes: all of them, in the order in which they are sent.
        memory: those in memory.
        missing: set when one that is next in its lane may have to be read from disk.
        units: samples or log events of all of them.
        draining: none leaves memory any more.
    """

    def __init__(
        self,
        signal: str,
        memory: Memory[B],
        disk: Disk[B] | None,
        *,
        account: SignalLedger,
        limiter: Limiter,
        clock: Clock,
        ordered: bool,
    ) -> None:
        """Start empty; see `Backlog` for the arguments."""
        self._signal = signal
        self._disk = disk
        self._account = account
        self._limiter = limiter
        self._ordered = ordered
        self.memory: Memory[B] = memory
        self.missing = asyncio.Event()
        self.lanes: Lanes[B] = Lanes(clock.monotonic, self.missing.set)
        self.units = 0
        self.draining = False
        self._on_disk: OrderedDict[Parcel[B], None] = OrderedDict()  # there alone, oldest first
        self._on_disk_bytes = 0

    def sendable(self, parcels: Sequence[Parcel[B]], *, first: bool = False) -> None:
        """Let parcels be sent, or leave memory; `first`: they are older than all others."""
        for parcel in reversed(parcels) if first else parcels:
            parcel.ready = True
            self.memory.add(parcel, first=first)
            self.shrink()
        self.lanes.wake()

    def shrink(self, size_bytes: int = 0, *, drop: bool = True) -> None:
        """Make memory fit `size_bytes` more, as far as it can; without `drop`, only of parcels that have a row."""
        while not self.memory.fits(size_bytes) and not self.draining:
            if (newest := self.memory.newest_saved()) is not None:
                self._unload(newest)
            elif drop and (oldest := self.memory.oldest_unsaved()) is not None:
                self.drop(oldest, Reason.MEMORY_FULL)
            else:
                return

    def make_room(self, spool: Spool, size_bytes: int) -> bool:
        """Drop the oldest parcels that wait on disk alone until `size_bytes` more fit there; False where they cannot."""
        if spool.size_bytes + size_bytes - spool.max_bytes > self._on_disk_bytes:
            return False
        while spool.size_bytes + size_bytes > spool.max_bytes:
            self.drop(next(iter(self._on_disk)), Reason.SPOOL_FULL)
        return True

    def leave_on_disk(self, parcel: Parcel[B]) -> None:
        """A parcel waits on disk alone."""
        newest = next(reversed(self._on_disk), None)
        self._on_disk[parcel] = None
        self._on_disk_bytes += parcel.size_bytes
        if newest is not None and (parcel.place or 0) < (newest.place or 0):
            self._on_disk.move_to_end(parcel, last=False)
        self.missing.set()

    def bring_back(self, parcel: Parcel[B]) -> None:
        """A parcel waits on disk alone no longer: it is read, or dropped."""
        del self._on_disk[parcel]
        self._on_disk_bytes -= parcel.size_bytes

    def disk_lane(self, lane: str) -> str:
        """The lane of parcels that wait on disk alone, or were read from there."""
        return lane if self._ordered else f"{lane} on disk"

    def drop(self, parcel: Parcel[B], reason: Reason) -> None:
        """Drop a parcel that waits, counted and with a log line."""
        self.lanes.remove(parcel)
        if parcel in self._on_disk:
            self.bring_back(parcel)
        self._account.dropped[reason] += parcel.units
        self._limiter.error(
            f"{reason} {self._signal}",
            _DROPPED[reason],
            signal=self._signal,
            reason=reason,
            lane=parcel.lane.replace("\n", " "),
            units=parcel.units,
        )
        self.forget(parcel)

    def forget(self, parcel: Parcel[B]) -> None:
        """A parcel is settled: nothing of it is pending, in memory or on disk."""
        self.units -= parcel.units
        if parcel.batch is not None:
            self.memory.remove(parcel)
        if self._disk is not None:
            self._disk.settle(parcel)
        if self._on_disk:
            self.missing.set()

    def _unload(self, parcel: Parcel[B]) -> None:
        """Leave a parcel on disk alone."""
        lane = self.disk_lane(parcel.contents.lane)
        self.memory.remove(parcel)
        parcel.batch = None
        if lane != parcel.lane:
            self.lanes.remove(parcel)
            parcel.lane = lane
            self.lanes.add(parcel)
        self.leave_on_disk(parcel)
