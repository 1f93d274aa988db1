"""Between the pipeline and a worker: batches wait here, in memory and, where there is a spool, on disk first.

Without a spool a batch goes straight to the worker's channel, and a full channel pushes its oldest out. With one a
batch is committed before it is queued, stays on disk until it is delivered, and where memory is full only its row
waits, to be read again in its turn. While the spool cannot be written, batches that memory alone has wait behind
such rows, so that no stream is reordered, and rows of batches in memory make room for them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import structlog

from sidecar.deliver.channel import Channel, Queued
from sidecar.model.errors import Reason
from sidecar.model.limits import PAST_SECONDS
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.spool.codec import Codec
from sidecar.spool.rows import (
    BatchRow,
    IndexRow,
    SegmentRow,
    Statement,
    delete_batches,
    delete_deltas,
    delete_segments,
    insert_batch,
    insert_rejected,
    insert_segment,
    mark_in_flight,
)
from sidecar.spool.store import SpoolError
from sidecar.spool.writer import Spool

QUEUED_AHEAD: Final = 64  # batches that leave the queue behind the channel before those in it are sent
LANES_NAMED: Final = 100  # of those that lose something at the end of the drain


class Stored(Queued, Protocol):
    """What a backlog needs to know of a batch."""

    row: int | None
    place: int | None
    kept_bytes: int
    resent: bool

    def describe(self, index: int) -> str:
        """One element, for a log line."""
        ...


B = TypeVar("B", bound=Stored)


class _Waiting(NamedTuple):
    """A row that waits on disk alone."""

    row: int
    units: int
    size_bytes: int
    created: float
    in_flight: bool


@dataclass(slots=True)
class _Segment:
    """Log events that are on disk and in no batch yet."""

    size_bytes: int
    units: int
    kept: bool  # it is known to be on disk


@dataclass(slots=True, eq=False)
class _Debt(Generic[B]):
    """What batches in memory have on disk under another form, as long as they are not known to be written themselves.

    Attributes:
        deletions: of that form: segments, checkpoints, or the row of a batch that was split; due when every batch is
            done with.
        freed_bytes: what they give back of the spool's size, taken off when the batches were submitted.
        exact: it holds all that the batches hold; checkpoints are up to half a second behind.
        left: how many batches are not done with.
        touched: some are, or a part of one.
        undecided: the rows the batches are to have, until it is known whether they are on disk.
    """

    deletions: tuple[Statement, ...]
    freed_bytes: int
    exact: bool
    left: int
    touched: bool = False
    undecided: tuple[_Row[B], ...] = ()


class _Row(NamedTuple, Generic[B]):
    """A batch and the row it was to have."""

    batch: B
    row: int
    size_bytes: int


class Backlog(Generic[B]):
    """What waits of one signal: the pipeline's sink, and the worker's journal."""

    def __init__(
        self,
        signal: str,
        channel: Channel[B],
        *,
        codec: Codec[B],
        spool: Spool | None,
        account: SignalLedger,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take over the collaborators; `signal` names the rows that are ours."""
        self._signal = signal
        self._channel = channel
        self._codec = codec
        self._spool = spool
        self._account = account
        self._limiter = limiter
        self._clock = clock
        self._later: deque[_Waiting | B] = deque()  # behind the channel, in order: rows, and batches without one
        self._disk_units = 0  # of the rows
        self._later_units = 0  # of the batches
        self._later_bytes = 0
        self._no_rows = True  # no batch that waits in the channel is known to have a row
        self._segments: dict[int, _Segment] = {}  # {id: segment}, until its events are in batches
        self._debts: dict[int, _Debt[B]] = {}  # {id of a batch in the channel that has no row: what it owes}
        self._committing = 0  # units submitted to the spool and not queued yet
        self._commits: set[asyncio.Future[bool]] = set()
        self._offers: dict[asyncio.Future[bool], list[B]] = {}  # what is committed, in the order of the offers
        self._early: set[asyncio.Future[bool]] = set()  # those of them that wait for an earlier one
        self._splits: set[asyncio.Future[bool]] = set()  # transactions that write parts in place of a batch
        self._more = asyncio.Event()
        self._log = structlog.get_logger(signal=signal)
        account.holders.append(lambda: channel.units + self._disk_units + self._later_units + self._committing)

    # --- the pipeline's sink -----------------------------------------------------------------------------

    @property
    def keeps(self) -> bool:
        """Whether there is to be a spool, usable now or not."""
        return self._spool is not None

    def offer(
        self, batches: Sequence[B], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool] | None:
        """Queue batches; never waits.

        Args:
            batches: in their order.
            windows: serials of windows whose checkpoints are deleted in the transaction that keeps the batches.
            segments: ids of segments that are deleted likewise.

        Returns:
            A future that tells whether they are on disk; None where there is no spool.
        """
        spool = self._spool
        if spool is None or not spool.opened:
            for batch in batches:
                self._queue(batch)
            return None
        held = [self._segments.pop(segment) for segment in segments if segment in self._segments]
        freed = sum(one.size_bytes for one in held)
        spool.size_bytes -= freed
        deletions = [delete_deltas(windows)] if windows else []
        deletions += [delete_segments(segments)] if segments else []
        if not batches:
            return spool.submit(*deletions)
        units = sum(batch.units for batch in batches)
        exact = not windows and sum(one.units for one in held if one.kept) == units
        self._committing += units
        done = self._replace(spool, batches, _Debt(tuple(deletions), freed, exact, len(batches)))
        self._commits.add(done)
        self._offers[done] = list(batches)
        done.add_done_callback(self._offered)
        return done

    def save(self, events: B) -> tuple[int, asyncio.Future[bool]] | None:
        """Keep events that are in no batch yet as a segment; None where there is no spool to keep them."""
        spool = self._spool
        if spool is None or not spool.opened:
            return None
        id_ = spool.next_id("segment")
        self.count_segment(spool, id_, self._codec.size(events), events.units, kept=False)

        def row() -> SegmentRow:
            return SegmentRow(id_, *self._codec.encode(events), events.units)

        done = spool.submit(insert_segment(row))
        done.add_done_callback(partial(self._saved, id_))
        return id_, done

    def count_segment(self, spool: Spool, id_: int, size_bytes: int, units: int, *, kept: bool) -> None:
        """Count a segment, ours or an earlier process's; `kept` if it is known to be on disk."""
        self._segments[id_] = _Segment(size_bytes, units, kept)
        spool.size_bytes += size_bytes

    def room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more would push nothing out."""
        spool = self._spool
        if spool is not None and spool.usable:
            return spool.size_bytes + size_bytes <= spool.max_bytes
        return self._fits(size_bytes)

    def _fits(self, size_bytes: int) -> bool:
        return self._channel.memory_bytes + self._later_bytes + size_bytes <= self._channel.capacity_bytes

    @property
    def committing(self) -> bool:
        """Whether something that was offered is not queued yet."""
        return bool(self._commits)

    async def committed(self) -> None:
        """Wait until everything offered is queued."""
        while self._commits:
            await asyncio.wait(self._commits)
            await asyncio.sleep(0)  # the callbacks queue the batches

    # --- the worker's journal ----------------------------------------------------------------------------

    async def sending(self, batch: B) -> None:
        """A batch is about to be sent: found so after a crash, it may have been stored."""
        if batch.resent:
            batch.resent = False
            self._account.ambiguous += batch.units
        if self._spool is not None and batch.row is not None:
            await self._spool.submit(mark_in_flight(batch.row, in_flight=True))

    def unsent(self, batch: B) -> None:
        """A batch was certainly not stored."""
        if self._spool is not None and batch.row is not None:
            self._spool.submit(mark_in_flight(batch.row, in_flight=False))

    def settled(self, batch: B, parts: Sequence[B] = ()) -> None:
        """A batch is done with: delivered, dropped, or replaced by its parts."""
        self._more.set()
        spool = self._spool
        if spool is None:
            return
        self._pay(batch, parts)
        if batch.row is None:
            return
        spool.size_bytes -= batch.kept_bytes
        deletion = delete_batches([batch.row])
        if not parts:
            spool.submit(deletion)
            return
        for part in parts:
            part.place = batch.place
        exact = sum(part.units for part in parts) == batch.units
        written = self._replace(spool, parts, _Debt((deletion,), batch.kept_bytes, exact, len(parts)))
        self._splits.add(written)
        written.add_done_callback(self._splits.discard)

    async def parts_written(self) -> None:
        """Wait until the parts of every batch that was split have rows of their own, or cannot have them."""
        while self._splits:
            await asyncio.wait(self._splits)
            await asyncio.sleep(0)

    def refused(self, reason: Reason, detail: str, element: str, units: int) -> None:
        """The service refused an element: kept for a person to look at."""
        if self._spool is not None and self._spool.opened:
            self._spool.submit(insert_rejected(self._signal, reason, detail, element, units))

    def abandon(self) -> tuple[int, int]:
        """Give up what still waits, at the end of the drain: units named and lost, units left on disk."""
        lost: Counter[str] = Counter()  # {lane: units}
        first: dict[str, str] = {}
        self.queue_all()
        for batch in self._channel.clear():
            if batch.row is not None or self._is_left(batch):
                self._disk_units += batch.units
                continue
            self._pay(batch)
            lost[batch.lane] += batch.units
            first.setdefault(batch.lane, batch.describe(0))
        if lost:
            self._account.dropped[Reason.ABANDONED] += lost.total()
        for lane, units in lost.most_common(LANES_NAMED):
            self._log.error(
                "abandoned at the end of the drain", lane=lane.replace("\n", " "), units=units, first=first[lane]
            )
        if self._disk_units:
            self._log.warning("left in the spool for the next start", units=self._disk_units)
        return lost.total(), self._disk_units

    # --- from disk ---------------------------------------------------------------------------------------

    def recover(self, spool: Spool, index: Iterable[IndexRow]) -> None:
        """Take over the rows an earlier process left; those of the other signal are passed over."""
        for row in index:
            if row.signal == self._signal:
                self._later.append(_Waiting(row.id, row.units, row.size_bytes, row.created, row.in_flight))
                self._disk_units += row.units
                self._account.recovered += row.units
                spool.size_bytes += row.size_bytes
        self._more.set()

    async def run(self) -> None:
        """Bring what waits behind the channel into it as there is room, oldest first."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._later and self._spool is not None:
                waiting = self._later[0]
                if not isinstance(waiting, _Waiting):
                    if len(self._channel) >= QUEUED_AHEAD:
                        break
                    self._later.popleft()
                    self._enqueue(waiting)
                    continue
                if len(self._channel) and not self._fits(waiting.size_bytes):
                    break
                try:
                    found = await self._spool.read(lambda store, row=waiting.row: store.batch(row))  # type: ignore[misc]
                except SpoolError as error:
                    self._limiter.error("spool_read", "a batch on disk cannot be read, will retry", error=str(error))
                    await asyncio.sleep(1.0)
                    continue
                if not self._load(self._spool, waiting, found):
                    break

    def queue_all(self) -> None:
        """Queue what memory alone has, without the rows before it: they stay for the next start."""
        later = self._later
        self._later = deque(waiting for waiting in later if isinstance(waiting, _Waiting))
        for batch in later:
            if not isinstance(batch, _Waiting):
                self._enqueue(batch)

    def _enqueue(self, batch: B) -> None:
        """Move a batch that memory alone has from behind the channel into it."""
        self._later_units -= batch.units
        self._later_bytes -= batch.memory_bytes
        self._channel.offer(batch, bounded=False)

    def _load(self, spool: Spool, waiting: _Waiting, found: BatchRow | None) -> bool:
        """Bring a row that was read into memory; False where there is no room for it after all."""
        if not self._later or self._later[0] is not waiting:
            return True  # dropped to make room while it was read
        expired = found is None or waiting.created < self._clock.wall() - PAST_SECONDS
        batch: B | None = None
        reason = Reason.EXPIRED
        if found is not None and not expired:
            try:
                batch = self._codec.decode(found.head, found.body, found.parts)
                if not batch.units:
                    raise ValueError("nothing is in it")  # noqa: TRY301  # as what the codec raises
            except (ValueError, TypeError) as error:
                batch, reason = None, Reason.SPOOL_DAMAGED
                spool.submit(insert_rejected(self._signal, Reason.SPOOL_DAMAGED, str(error), found.head, found.units))
            else:
                if len(self._channel) and not self._fits(batch.memory_bytes):
                    return False
        self._later.popleft()
        self._disk_units -= waiting.units
        if batch is None or found is None:
            self._forget(spool, waiting, reason)
            return True
        batch.row, batch.place, batch.resent = waiting.row, found.place, waiting.in_flight
        batch.kept_bytes = waiting.size_bytes
        self._no_rows = False
        self._channel.offer(batch, bounded=False)
        return True

    def _offered(self, done: asyncio.Future[bool]) -> None:
        """Queue what is decided, in the order in which it was offered.

        A disk may take, or refuse, a later offer before an earlier one: a stream would be reordered.
        """
        self._early.add(done)
        while self._offers and (first := next(iter(self._offers))) in self._early:
            self._early.discard(first)
            self._commits.discard(first)
            for batch in self._offers.pop(first):
                self._committing -= batch.units
                self._queue(batch)

    def _saved(self, segment: int, done: asyncio.Future[bool]) -> None:
        if segment in self._segments:
            self._segments[segment].kept = done.result()

    def _replace(self, spool: Spool, batches: Sequence[B], debt: _Debt[B]) -> asyncio.Future[bool]:
        """Write batches in place of what holds the same on disk, all or none.

        Where that fails, what they replace stays for as long as one of them is in memory only.
        """
        self._debts |= dict.fromkeys(map(id, batches), debt)
        if self._make_room(spool, sum(map(self._codec.size, batches))):
            inserts, debt.undecided = zip(*(self._insert(spool, batch) for batch in batches), strict=True)
            done = spool.submit(*inserts, *(replace(one, owed=None) for one in debt.deletions))
        else:
            done = asyncio.get_running_loop().create_future()
            done.set_result(False)
        done.add_done_callback(partial(self._written, debt))
        return done

    def _written(self, debt: _Debt[B], done: asyncio.Future[bool]) -> None:
        spool = self._spool
        if done.result() or spool is None or not spool.when_decided(done, partial(self._decided, debt)):
            self._decided(debt, done.result())

    def _decided(self, debt: _Debt[B], kept: bool) -> None:  # noqa: FBT001  # what a future would have as its result
        """It is known whether batches are on disk: if so, those still in memory as they were have their rows."""
        rows, debt.undecided = debt.undecided, ()
        spool = self._spool
        if spool is None:
            return
        if not debt.left or not kept:
            spool.size_bytes -= sum(one.size_bytes for one in rows)
            debt.freed_bytes = debt.freed_bytes if debt.left else 0
            spool.size_bytes += debt.freed_bytes
            return
        debt.freed_bytes = 0  # what they replaced is gone from the disk with the same transaction
        gone = []
        for batch, row, size_bytes in rows:
            if self._debts.get(id(batch)) is debt:
                del self._debts[id(batch)]
                batch.row, batch.kept_bytes = row, size_bytes
                self._no_rows = False
                debt.left -= 1
            else:
                gone.append(row)
                spool.size_bytes -= size_bytes
        debt.deletions = (delete_batches(gone),) if gone else ()
        self._pay_off(spool, debt)

    def _pay(self, batch: B, parts: Sequence[B] = ()) -> None:
        """A batch is done with, or replaced by its parts: what it owes may be due now."""
        debt = self._debts.pop(id(batch), None)
        if debt is None or self._spool is None:
            return
        self._debts |= dict.fromkeys(map(id, parts), debt)
        debt.left += len(parts) - 1
        debt.touched |= sum(part.units for part in parts) != batch.units
        self._pay_off(self._spool, debt)

    def _pay_off(self, spool: Spool, debt: _Debt[B]) -> None:
        if debt.left:
            return
        # A transaction that is under way may still write the rows: what is submitted now comes after it.
        deletions = [delete_batches(one.row for one in debt.undecided)] if debt.undecided else []
        if debt.deletions or deletions:
            spool.submit(*debt.deletions, *deletions)
        if not debt.undecided:
            spool.size_bytes -= debt.freed_bytes

    def _is_left(self, batch: B) -> bool:
        """Whether all of a batch that has no row is on disk all the same, for the next start."""
        debt = self._debts.get(id(batch))
        return debt is not None and debt.exact and not debt.touched

    def _queue(self, batch: B) -> None:
        if batch.row is not None:
            if self._later or (len(self._channel) and not self._fits(batch.memory_bytes)):
                self._later.append(self._waiting(batch))
                self._disk_units += batch.units
                self._more.set()
            else:
                self._no_rows = False
                self._push_out(self._channel.offer(batch))
            return
        while not self._fits(batch.memory_bytes) and self._free_memory():
            pass
        if self._later:
            self._later.append(batch)
            self._later_units += batch.units
            self._later_bytes += batch.memory_bytes
            self._more.set()
        else:
            self._push_out(self._channel.offer(batch))

    def _free_memory(self) -> bool:
        """Give up a batch in memory: the newest that has a row, else the oldest; False where all are in hand."""
        while not self._no_rows:
            newest = self._channel.take_back()
            if newest is None:
                self._no_rows = True
            elif newest.row is not None:
                self._later.appendleft(self._waiting(newest))
                self._disk_units += newest.units
                return True
            else:
                self._later.appendleft(newest)
                self._later_units += newest.units
                self._later_bytes += newest.memory_bytes
        oldest = self._channel.drop_oldest()
        if oldest is None:
            oldest = next((one for one in self._later if not isinstance(one, _Waiting)), None)
            if oldest is None:
                return False
            self._later.remove(oldest)
            self._later_units -= oldest.units
            self._later_bytes -= oldest.memory_bytes
        self._push_out([oldest])
        return True

    def _waiting(self, batch: B) -> _Waiting:
        """The row of a batch that leaves memory."""
        assert batch.row is not None  # noqa: S101  # asked before
        # What an earlier process may have sent is still to be counted as ambiguous when it is sent.
        return _Waiting(batch.row, batch.units, batch.kept_bytes, self._clock.wall(), in_flight=batch.resent)

    def _push_out(self, batches: Sequence[B]) -> None:
        """What memory has no room for: its rows wait on, what has none is lost."""
        for batch in reversed(batches):  # the newest first: each goes to the front of what waits on disk
            if batch.row is not None:
                self._later.appendleft(self._waiting(batch))
                self._disk_units += batch.units
                continue
            self._pay(batch)
            self._account.dropped[Reason.MEMORY_FULL] += batch.units
            self._limiter.error(
                f"memory_full {self._signal}",
                "dropped the oldest batch: deliver.memory_bytes is full",
                signal=self._signal,
                units=batch.units,
            )

    def _make_room(self, spool: Spool, size_bytes: int) -> bool:
        """Drop the oldest rows that wait on disk alone until a batch fits; False where it cannot."""
        over = spool.size_bytes + size_bytes - spool.max_bytes
        if over <= 0:
            return True
        rows = [waiting for waiting in self._later if isinstance(waiting, _Waiting)]
        if over > sum(waiting.size_bytes for waiting in rows):
            return False  # not even without all of them
        for oldest in rows:
            self._later.remove(oldest)
            self._disk_units -= oldest.units
            self._forget(spool, oldest, Reason.SPOOL_FULL)
            if spool.size_bytes + size_bytes <= spool.max_bytes:
                break
        return True

    def _forget(self, spool: Spool, waiting: _Waiting, reason: Reason) -> None:
        spool.size_bytes -= waiting.size_bytes
        spool.submit(delete_batches([waiting.row]))
        self._account.dropped[reason] += waiting.units
        self._limiter.error(
            f"{reason} {self._signal}", "dropped a batch from the spool", reason=reason, units=waiting.units
        )

    def _insert(self, spool: Spool, batch: B) -> tuple[Statement, _Row[B]]:
        """The statement that writes a batch, and the row it will have once that is committed."""
        size = self._codec.size(batch)
        id_ = spool.next_id("batch")
        if batch.place is None:
            batch.place = id_
        place, created = batch.place, self._clock.wall()
        spool.size_bytes += size

        def row() -> BatchRow:
            encoded = self._codec.encode(batch)
            return BatchRow(
                id_, self._signal, *encoded, batch.units, created, in_flight=False, place=place, size_bytes=size
            )

        return insert_batch(row), _Row(batch, id_, size)
