"""What waits to be sent, of one signal: the pipeline offers batches, a worker gets parcels.

Without a spool parcels wait in memory, and where that is full the oldest is dropped. With one, a parcel is committed
before it may be sent, and stays on disk until it is settled: where memory is full, the newest parcels leave it and
are read again in their turn. While the spool cannot be written, parcels go on in memory alone.

The order is in `lanes.py`, what leaves memory or disk in `waiting.py`, rows and what they replace in `disk.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Generic

import structlog

from sidecar.deliver.disk import Disk
from sidecar.deliver.memory import Memory
from sidecar.deliver.parcel import B, Debt, Parcel
from sidecar.deliver.reader import Reader
from sidecar.deliver.segments import Segments
from sidecar.deliver.waiting import Waiting
from sidecar.model.errors import Reason
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns
from sidecar.spool.codec import Codec
from sidecar.spool.rows import IndexRow, delete_deltas, delete_segments
from sidecar.spool.writer import Spool

LANES_NAMED: Final = 100  # of those that lose something at the end of the drain


class Backlog(Generic[B]):
    """The parcels of one signal that are neither delivered nor dropped."""

    def __init__(
        self,
        signal: str,
        capacity_bytes: int,
        *,
        codec: Codec[B],
        spool: Spool | None,
        account: SignalLedger,
        limiter: Limiter,
        clock: Clock,
        ordered: bool = True,
    ) -> None:
        """Start empty.

        Args:
            signal: metrics or logs: which rows of the spool are read, and for log lines.
            capacity_bytes: of parcels in memory.
            codec: between batches and rows.
            spool: None if none is configured.
            account: what waits here is pending there.
            limiter: for log lines about what is dropped.
            clock: of retries, and of the age of rows.
            ordered: parcels that are read from the spool are sent before newer ones of their lane; otherwise they
                have a lane of their own, so that they delay nothing.
        """
        self._signal = signal
        self._spool = spool
        self._codec = codec
        self._account = account
        self._segments: Segments[B] | None = None
        self._disk: Disk[B] | None = None
        memory: Memory[B] = Memory(capacity_bytes)
        if spool is not None:
            self._segments = Segments(spool, codec)
            self._disk = Disk(signal, spool, codec, clock, memory.became_saved)
        self.waiting: Waiting[B] = Waiting(
            signal, memory, self._disk, account=account, limiter=limiter, clock=clock, ordered=ordered
        )
        self._reader = Reader(self.waiting, self._disk, limiter, clock) if self._disk is not None else None
        self._writes: set[asyncio.Future[bool]] = set()  # of parcels that may not be sent before
        self._left_units = 0  # of parcels that the drain leaves on disk
        self._log = structlog.get_logger(signal=signal)
        account.holders.append(lambda: self.waiting.units)

    def __len__(self) -> int:
        """How many parcels wait or are being sent."""
        return len(self.waiting.lanes)

    # --- from the pipeline -------------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether a spool is configured, usable now or not."""
        return self._spool is not None

    def offer(
        self, batches: Sequence[B], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool] | None:
        """Queue batches; never waits.

        Args:
            batches: in their order.
            windows: serials of windows whose checkpoints are deleted in the transaction that writes the batches.
            segments: ids of segments that are deleted likewise.

        Returns:
            A future that becomes True once they are on disk, False where they could not be written; None where
            there is no spool.
        """
        parcels = [Parcel.of(batch) for batch in batches]
        units = sum(parcel.units for parcel in parcels)
        self.waiting.units += units
        if self._spool is None or self._disk is None or self._segments is None or not self._spool.opened:
            for parcel in parcels:
                self.waiting.lanes.add(parcel)
            self.waiting.sendable(parcels)
            return None
        held = self._segments.take(segments)
        deletions = [delete_deltas(windows)] if windows else []
        deletions += [delete_segments(segments)] if segments else []
        if not parcels:
            self._spool.size_bytes -= held.size_bytes
            return self._spool.submit(*deletions)
        for parcel in parcels:
            parcel.ready = False  # its place in the lane is held while it is written
            self.waiting.lanes.add(parcel)
        exact = not windows and held.units == units
        room = self.waiting.make_room(self._spool, self._disk.size(parcels) - held.size_bytes)
        done = self._disk.write(parcels, Debt(tuple(deletions), held.size_bytes, exact, len(parcels)), room=room)
        self._when_written(done, parcels)
        return done

    def save(self, events: B) -> tuple[int, asyncio.Future[bool]] | None:
        """Write events that are in no batch yet as a segment.

        Returns:
            Its id, and a future that becomes True once it is on disk, False where it could not be written; None
            where there is no spool.
        """
        if self._spool is None or self._segments is None or not self._spool.opened:
            return None
        return self._segments.save(events, events.units)

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit without dropping anything; False becomes a 429."""
        spool = self._spool
        if spool is not None and spool.usable:
            return spool.size_bytes + size_bytes <= spool.max_bytes
        return self.waiting.memory.fits(size_bytes)

    async def committed(self) -> None:
        """Wait until everything offered is on disk, or cannot be."""
        while self._writes:
            await asyncio.wait(self._writes)
            await asyncio.sleep(0)  # for the callbacks

    @property
    def committing(self) -> bool:
        """Whether parcels are being written."""
        return bool(self._writes)

    # --- for the worker ----------------------------------------------------------------------------------

    async def get(self) -> Parcel[B]:
        """Wait for the next parcel to send; it is the caller's until `settle`, `split`, `retry` or `park`.

        Raises:
            LanesClosedError: after `drain`, once nothing is left to send.
        """
        parcel = await self.waiting.lanes.take()
        self.waiting.memory.hold(parcel)
        return parcel

    async def sending(self, parcel: Parcel[B]) -> None:
        """Mark the parcel in the spool, so that after a crash it is known that it may have been stored."""
        if parcel.resent:
            parcel.resent = False
            self._account.ambiguous += parcel.units
        if self._disk is not None:
            await self._disk.mark(parcel)

    def settle(self, parcel: Parcel[B]) -> None:
        """The parcel was delivered or dropped; the caller has counted it."""
        self.waiting.lanes.release(parcel)
        self.waiting.forget(parcel)

    def split(self, parcel: Parcel[B], batches: Sequence[B]) -> None:
        """Put batches of its elements in the place of the parcel; the caller has counted those in none of them."""
        parts = [Parcel.of(batch, parcel.place) for batch in batches]
        self.waiting.memory.remove(parcel)
        self.waiting.units += sum(part.units for part in parts) - parcel.units
        for part in parts:
            part.lane = parcel.lane
        self.waiting.lanes.release(parcel, parts)
        done = None
        if parts and self._spool is not None and self._disk is not None:
            freed = parcel.size_bytes
            room = parcel.saved and self.waiting.make_room(self._spool, self._disk.size(parts) - freed)
            done = self._disk.split(parcel, parts, room=room)
        elif self._disk is not None:
            self._disk.settle(parcel)
        if done is None:
            self.waiting.sendable(parts, first=True)
            return
        for part in parts:
            part.ready = False
        self._when_written(done, parts, first=True)

    def retry(self, parcel: Parcel[B], delay: float, *, stored: bool) -> None:
        """Send the parcel again, `delay` seconds from now; `stored`: the service may have stored it."""
        self._unsent(parcel, stored=stored)
        self.waiting.lanes.release(parcel, [parcel], delay)
        self.waiting.memory.wait(parcel, first=True)
        self.waiting.shrink()

    def park(self, parcel: Parcel[B], *, stored: bool) -> None:
        """Put the parcel aside until `abandon`: it had its last attempt; `stored`: the service may have stored it."""
        self._unsent(parcel, stored=stored)
        self.waiting.lanes.park(parcel)

    def rejected(self, reason: Reason, detail: str, element: str, units: int) -> None:
        """Record an element that the service refused in the spool's table `rejected`."""
        if self._disk is not None:
            self._disk.reject(reason, detail, element, units)

    # --- from the spool ----------------------------------------------------------------------------------

    async def recover(self, index: Iterable[IndexRow], turns: Turns) -> None:
        """Queue the rows an earlier process left, before anything else; those of the other signal are ignored.

        Yields to the event loop every 0.5 ms: there may be hundreds of thousands.
        """
        parcels: list[Parcel[B]] = []
        lanes: dict[str, str] = {}  # {head: lane}, so that equal names are one string
        try:
            for row in index:
                if row.signal != self._signal or self._spool is None:
                    continue
                lane = lanes.get(row.head)
                if lane is None:
                    lane = lanes[row.head] = self.waiting.disk_lane(self._codec.lane(row.head))
                parcel: Parcel[B] = Parcel(None, lane, row.units, row.size_bytes, row.id, saved=True, place=row.place)
                parcel.size_bytes, parcel.created, parcel.resent = row.size_bytes, row.created, row.in_flight
                parcels.append(parcel)
                self.waiting.leave_on_disk(parcel)
                self.waiting.units += row.units
                self._account.recovered += row.units
                self._spool.size_bytes += row.size_bytes
                if turns.due():
                    await turns.give()
        finally:
            self.waiting.lanes.add_first(parcels)
        self.waiting.missing.set()

    async def run(self) -> None:
        """Read parcels from the spool in their turn; returns at once where there is no spool."""
        if self._reader is not None:
            await self._reader.run()

    def count_segment(self, id_: int, size_bytes: int, units: int) -> None:
        """Count a segment that an earlier process left."""
        if self._segments is not None:
            self._segments.count(id_, size_bytes, units, saved=True)

    # --- at the end --------------------------------------------------------------------------------------

    def drain(self) -> None:
        """No more will be offered: parcels in memory are sent without delay, those on disk alone stay there."""
        self.waiting.draining = True
        self.waiting.lanes.hurry()
        for parcel in self.waiting.lanes.close():
            self._left_units += parcel.units

    def abandon(self) -> tuple[int, int]:
        """Drop what still waits and is not on disk.

        Returns:
            Units dropped, each lane's with a log line, and units left on disk.
        """
        lost: Counter[str] = Counter()  # {lane: units}
        first: dict[str, str] = {}
        for parcel in self.waiting.lanes.clear():
            if parcel.left_on_disk:
                self._left_units += parcel.units
                continue
            lost[parcel.lane] += parcel.units
            first.setdefault(parcel.lane, parcel.contents.describe(0))
            self._account.dropped[Reason.ABANDONED] += parcel.units
            self.waiting.forget(parcel)
        for lane, units in lost.most_common(LANES_NAMED):
            self._log.error(
                "abandoned at the end of the drain", lane=lane.replace("\n", " "), units=units, first=first[lane]
            )
        if self._left_units:
            self._log.warning("left in the spool for the next start", units=self._left_units)
        return lost.total(), self._left_units

    # --- within ------------------------------------------------------------------------------------------

    def _when_written(self, done: asyncio.Future[bool], parcels: Sequence[Parcel[B]], *, first: bool = False) -> None:
        """Let parcels be sent once it is decided whether they are on disk."""

        def decided(done: asyncio.Future[bool]) -> None:
            self._writes.discard(done)
            self.waiting.sendable(parcels, first=first)

        self._writes.add(done)
        done.add_done_callback(decided)

    def _unsent(self, parcel: Parcel[B], *, stored: bool) -> None:
        if not stored and self._disk is not None:
            self._disk.unmark(parcel)
