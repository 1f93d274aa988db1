"""Datums of earlier calls: where the bytes around time and value are the same, they are not read again. Pure.

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


class Datum(NamedTuple):
    """A datum in CBOR.

    Attributes:
        members: all of them, of which time and value are replaced.
        tail: its bytes behind the value.
        stamped: it has a time, which stands before the value.
    """

    members: dict[str, Any]
    tail: bytes
    stamped: bool


class Form(NamedTuple):
    """A datum of a form.

    Attributes:
        members: all of them but value and time.
        pairs: how many are in its key in the table.
    """

    members: dict[str, Any]
    pairs: int


class Known:
    """The tables of one dialect.

    Attributes:
        cbor: by the bytes of a datum from its head to its time or, where it has none, its value.
        forms: datums by their pairs without the varying ones, and without what comes before the fields' names.
    """

    def __init__(self) -> None:
        """Start with empty tables."""
        self.cbor: Table[Datum] = Table()
        self.forms: Table[Form] = Table()
