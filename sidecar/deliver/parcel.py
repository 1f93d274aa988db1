"""A batch on its way out, together with what is known of its row in the spool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

from sidecar.spool.rows import Statement


class Batch(Protocol):
    """What delivery needs to know of a batch."""

    @property
    def lane(self) -> str:
        """Batches of one lane are sent one at a time."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes it counts against `deliver.memory_bytes`."""
        ...

    @property
    def units(self) -> int:
        """Samples or log events of the ledger."""
        ...

    def __len__(self) -> int:
        """How many elements."""
        ...

    def part(self, indices: Iterable[int]) -> Self:
        """A batch of some of the elements."""
        ...

    def units_of(self, index: int, /) -> int:
        """Samples or log events of one element."""
        ...

    def describe(self, index: int) -> str:
        """One element, for a log line."""
        ...


B = TypeVar("B", bound=Batch)


@dataclass(slots=True, eq=False)
class Debt:
    """Rows that still hold the data of parcels whose own rows are not known to be written.

    They are deleted in the transaction that writes the parcels' rows, or, where that fails, once every parcel is
    settled. Shared by all parcels of that transaction, and by the parts of those that are split meanwhile.

    Attributes:
        deletions: of those rows: segments, checkpoints, or the row of a batch that was split.
        size_bytes: what they count against the size of the spool.
        exact: they hold all that the parcels hold; checkpoints are up to half a second behind.
        left: parcels that are neither settled nor written.
        touched: one was settled, or a part of one.
        counted: the transaction failed: the size of the spool covers them.
        rows: ids and sizes of rows that may yet be written, of parcels that were split meanwhile.
    """

    deletions: tuple[Statement, ...]
    size_bytes: int
    exact: bool
    left: int
    touched: bool = False
    counted: bool = False
    rows: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Parcel(Generic[B]):
    """A batch that waits or is being sent: in memory, in the spool, or both.

    Attributes:
        batch: None while only the spool has it.
        lane: what must be sent one at a time; see `lanes.py`.
        units: samples or log events of the ledger.
        memory_bytes: of the batch; of one that was never in memory, the size of its row.
        row: the id of its row once its insert was submitted, until that is known to have failed.
        saved: the row is known to be written.
        place: its place in the order of the spool: parts have that of the batch they were split from.
        size_bytes: what the row counts against the size of the spool.
        created: wall seconds at which the row was written.
        resent: an earlier process may have sent it.
        ready: False while its insert, or the reading of its row, is under way.
        in_hand: it is being sent.
        debt: rows that are deleted once this parcel is written or settled.
    """

    batch: B | None
    lane: str
    units: int
    memory_bytes: int
    row: int | None = None
    saved: bool = False
    place: int | None = None
    size_bytes: int = 0
    created: float = 0.0
    resent: bool = False
    ready: bool = True
    in_hand: bool = False
    debt: Debt | None = None

    @classmethod
    def of(cls, batch: B, place: int | None = None) -> Self:
        """A parcel of a batch that only memory has."""
        return cls(batch, batch.lane, batch.units, batch.memory_bytes, place=place)

    @property
    def contents(self) -> B:
        """The batch of a parcel in hand, which is always in memory."""
        if self.batch is None:
            raise AssertionError("a parcel in hand without its batch")  # a bug
        return self.batch

    @property
    def left_on_disk(self) -> bool:
        """Whether the next process finds all of it: in its own row, or in those that it replaces."""
        return self.saved or (self.debt is not None and self.debt.exact and not self.debt.touched)
