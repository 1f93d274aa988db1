"""Parcels as rows of the spool: written before they are sent, marked while they are, deleted once settled.

A transaction writes parcels and deletes what they replace: segments, checkpoints, or the row of a batch that was
split. Where it fails, the parcels go on in memory and what they replace stays until they are settled (`Debt`). Where
the disk does not answer for a second, the outcome is not known yet: the parcels go on likewise, and have their rows
once it turns out that they were written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Generic

from sidecar.deliver.parcel import B, Debt, Parcel
from sidecar.model.errors import Reason
from sidecar.runtime.clock import Clock
from sidecar.spool.codec import Codec
from sidecar.spool.rows import BatchRow, Statement, delete_batches, insert_batch, insert_rejected, mark_in_flight
from sidecar.spool.writer import Spool


class Disk(Generic[B]):
    """The rows of one signal's parcels."""

    def __init__(
        self,
        signal: str,
        spool: Spool,
        codec: Codec[B],
        clock: Clock,
        saved: Callable[[Parcel[B]], None],
    ) -> None:
        """Connect the parts.

        Args:
            signal: of the rows.
            spool: where they are.
            codec: between batches and rows.
            clock: wall time of a row.
            saved: called for each parcel whose row became known to be written.
        """
        self._signal = signal
        self._spool = spool
        self._codec = codec
        self._clock = clock
        self._saved = saved

    def size(self, parcels: Sequence[Parcel[B]]) -> int:
        """What the rows of parcels in memory count against the size of the spool."""
        return sum(self._codec.size(parcel.contents) for parcel in parcels)

    def write(self, parcels: Sequence[Parcel[B]], debt: Debt, *, room: bool) -> asyncio.Future[bool]:
        """Write parcels and delete what they replace, in one transaction; `room`: the spool has room for them.

        Returns:
            A future that becomes True once that is committed; False where it failed, where there is no room, and
            where the disk has not answered for a second. By then each parcel has its row, or its debt.
        """
        spool = self._spool
        spool.size_bytes -= debt.size_bytes
        for parcel in parcels:
            parcel.debt = debt
        if room:
            inserts = [self._insert(parcel) for parcel in parcels]
            done = spool.submit(*inserts, *(replace(one, owed=None) for one in debt.deletions))
        else:
            done = asyncio.get_running_loop().create_future()
            done.set_result(False)
        done.add_done_callback(partial(self._written, parcels, debt))
        return done

    def settle(self, parcel: Parcel[B]) -> None:
        """Delete a parcel's row, and what it replaces once nothing else needs that: it was delivered or dropped."""
        if parcel.row is not None:
            # After the transaction that may still write it.
            self._spool.size_bytes -= parcel.size_bytes
            self._spool.submit(delete_batches([parcel.row]))
            parcel.row = None
        self._pay(parcel, ())

    def split(self, parcel: Parcel[B], parts: Sequence[Parcel[B]], *, room: bool) -> asyncio.Future[bool] | None:
        """Write the parts of a parcel in place of its row; `room`: the spool has room for them then.

        Returns:
            As `write`; None where the parcel has no row: the parts go on in memory.
        """
        units = sum(part.units for part in parts)
        if parcel.saved and parcel.row is not None:
            deletion = delete_batches([parcel.row])
            return self.write(parts, Debt((deletion,), parcel.size_bytes, units == parcel.units, len(parts)), room=room)
        if parcel.row is not None and parcel.debt is not None:
            parcel.debt.rows.append((parcel.row, parcel.size_bytes))
        self._pay(parcel, parts)
        return None

    async def mark(self, parcel: Parcel[B]) -> None:
        """Mark a parcel as being sent, and wait until that is written or cannot be."""
        if parcel.row is not None:
            await self._spool.submit(mark_in_flight(parcel.row, in_flight=True))

    def unmark(self, parcel: Parcel[B]) -> None:
        """Mark a parcel as certainly not stored by the service."""
        if parcel.row is not None:
            self._spool.submit(mark_in_flight(parcel.row, in_flight=False))

    async def fetch(self, parcel: Parcel[B]) -> BatchRow | None:
        """The row of a parcel, None where it is gone.

        Raises:
            SpoolError: the spool cannot be read.
        """
        id_ = parcel.row
        return None if id_ is None else await self._spool.read(lambda store: store.batch(id_))

    def load(self, parcel: Parcel[B], row: BatchRow | None) -> None:
        """Bring the batch of a row into its parcel.

        Raises:
            ValueError: the row is gone, or cannot be decoded.
        """
        if row is None:
            raise ValueError("the row is gone")
        try:
            batch = self._codec.decode(row.head, row.body, row.parts)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not len(batch) or not row.body:  # a batch of rollups has datums and no samples
            raise ValueError("a row without elements")
        parcel.batch, parcel.memory_bytes, parcel.place = batch, batch.memory_bytes, row.place

    def reject(self, reason: Reason, detail: str, element: str, units: int) -> None:
        """Record an element that is dropped for what it is in the table `rejected`."""
        if self._spool.opened:
            self._spool.submit(insert_rejected(self._signal, reason, detail, element, units))

    def _insert(self, parcel: Parcel[B]) -> Statement:
        batch, size = parcel.contents, self._codec.size(parcel.contents)
        id_ = self._spool.next_id("batch")
        place = id_ if parcel.place is None else parcel.place
        created, units = self._clock.wall(), parcel.units
        parcel.row, parcel.place, parcel.size_bytes, parcel.created = id_, place, size, created
        self._spool.size_bytes += size

        def row() -> BatchRow:
            encoded = self._codec.encode(batch)
            return BatchRow(id_, self._signal, *encoded, units, created, in_flight=False, place=place, size_bytes=size)

        return insert_batch(row)

    def _written(self, parcels: Sequence[Parcel[B]], debt: Debt, done: asyncio.Future[bool]) -> None:
        written = done.result()
        if written or not self._spool.when_decided(done, partial(self._decided, parcels, debt)):
            self._decided(parcels, debt, written)

    def _decided(self, parcels: Sequence[Parcel[B]], debt: Debt, written: bool) -> None:  # noqa: FBT001  # a callback
        if written:
            self._on_disk(parcels, debt)
        else:
            self._not_on_disk(parcels, debt)

    def _on_disk(self, parcels: Sequence[Parcel[B]], debt: Debt) -> None:
        debt.deletions = ()  # they were in the same transaction
        for parcel in parcels:
            if parcel.debt is not debt or parcel.row is None:
                continue  # settled or split meanwhile
            parcel.saved, parcel.debt = True, None
            debt.left -= 1
            if parcel.in_hand:
                self._spool.submit(mark_in_flight(parcel.row, in_flight=True))
            self._saved(parcel)
        if debt.left == 0:
            self._pay_off(debt)

    def _not_on_disk(self, parcels: Sequence[Parcel[B]], debt: Debt) -> None:
        for parcel in parcels:
            if parcel.debt is debt and parcel.row is not None:
                self._spool.size_bytes -= parcel.size_bytes
                parcel.row = None
        self._spool.size_bytes -= sum(size for _, size in debt.rows)
        debt.rows.clear()
        if debt.left:
            debt.counted = True
            self._spool.size_bytes += debt.size_bytes

    def _pay(self, parcel: Parcel[B], parts: Sequence[Parcel[B]]) -> None:
        """A parcel is settled, or replaced by its parts."""
        debt, parcel.debt = parcel.debt, None
        if debt is None:
            return
        for part in parts:
            part.debt = debt
        debt.left += len(parts) - 1
        debt.touched |= sum(part.units for part in parts) != parcel.units
        if debt.left == 0:
            self._pay_off(debt)

    def _pay_off(self, debt: Debt) -> None:
        """Delete what a debt is about: every parcel is written or settled."""
        rows, debt.rows = debt.rows, []
        deletions = [*debt.deletions, *([delete_batches(row for row, _ in rows)] if rows else [])]
        if deletions:
            self._spool.submit(*deletions)
        self._spool.size_bytes -= sum(size for _, size in rows) + (debt.size_bytes if debt.counted else 0)
        debt.deletions, debt.counted = (), False
