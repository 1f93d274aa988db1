"""What datums of earlier calls had before their first varying field: found again as bytes, it is not read again. Pure.

An application sends the same few metrics in every call, with other values and times. To read their names and
dimensions takes most of the time of a call in CBOR or of a form, for which there are no parsers in C that pause.
"""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple, TypeVar

V = TypeVar("V")

ENTRIES: Final = 2_048  # of one table: some 2 kB each, by what SDKs send
KEY_BYTES: Final = 512  # longer parts are read each time


class Table(dict[bytes, V], Generic[V]):
    """A bounded table; what it gives is shared, and must not be changed."""

    __slots__ = ()

    def learn(self, key: bytes, value: V) -> None:
        """Add an entry, unless its key is long; a full table begins anew."""
        if len(key) > KEY_BYTES:
            return
        if len(self) >= ENTRIES:
            self.clear()
        self[key] = value


class Beginning(NamedTuple):
    """The first members of a map in CBOR.

    Attributes:
        members: as read.
        left: how many members follow; below zero: until a break.
        containers: how many maps and arrays are in it.
    """

    members: dict[str, Any]
    left: int
    containers: int


class Known:
    """The tables of one dialect.

    Attributes:
        cbor: by the bytes of a datum from its head to its first varying member.
        forms: datums by their pairs without the varying ones, and without what comes before the fields' names.
    """

    def __init__(self) -> None:
        """Start with empty tables."""
        self.cbor: Table[Beginning] = Table()
        self.forms: Table[dict[str, Any]] = Table()
