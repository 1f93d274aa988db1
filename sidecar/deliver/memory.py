"""Which parcels are in memory, how much they take, and which of them leave it first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic

from sidecar.deliver.parcel import B, Parcel


class Memory(Generic[B]):
    """Parcels in memory; of those that wait, which have a row and which have none, oldest first."""

    def __init__(self, capacity_bytes: int) -> None:
        """Start empty."""
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0  # of all that wait, are in hand or are parked
        self._saved: OrderedDict[Parcel[B], None] = OrderedDict()
        self._unsaved: OrderedDict[Parcel[B], None] = OrderedDict()

    @property
    def full(self) -> bool:
        """Whether more is used than there is."""
        return self.used_bytes > self.capacity_bytes

    def fits(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit."""
        return self.used_bytes + size_bytes <= self.capacity_bytes

    def add(self, parcel: Parcel[B], *, first: bool = False) -> None:
        """Count a parcel that waits; `first`: it is older than all others."""
        self.used_bytes += parcel.memory_bytes
        self.wait(parcel, first=first)

    def remove(self, parcel: Parcel[B]) -> None:
        """Stop counting a parcel, waiting or not."""
        self.used_bytes -= parcel.memory_bytes
        self.hold(parcel)

    def wait(self, parcel: Parcel[B], *, first: bool = False) -> None:
        """Let a parcel that is counted be one of those that may leave."""
        waiting = self._saved if parcel.saved else self._unsaved
        waiting[parcel] = None
        if first:
            waiting.move_to_end(parcel, last=False)

    def hold(self, parcel: Parcel[B]) -> None:
        """Let a parcel stay: it is in hand."""
        self._saved.pop(parcel, None)
        self._unsaved.pop(parcel, None)

    def became_saved(self, parcel: Parcel[B]) -> None:
        """A parcel that may wait as unsaved has a row now."""
        if parcel in self._unsaved:
            del self._unsaved[parcel]
            self._saved[parcel] = None

    def newest_saved(self) -> Parcel[B] | None:
        """The newest parcel that waits and has a row."""
        return next(reversed(self._saved), None)

    def oldest_unsaved(self) -> Parcel[B] | None:
        """The oldest parcel that waits and has no row."""
        return next(iter(self._unsaved), None)
