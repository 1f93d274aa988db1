"""Rows of the spool and the statements that write them. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sidecar.spool.deletions import Deletions, Key


class BatchRow(NamedTuple):
    """One row of `batches`; what head, body and parts hold is the writer's to know.

    Attributes:
        created: wall seconds.
        in_flight: it was about to be sent.
        place: rows leave in the order of their places, then of their ids: parts take the place of what was split.
        size_bytes: what it counts against the size of the spool.
    """

    id: int
    signal: str
    head: str
    body: bytes
    parts: bytes
    units: int
    created: float
    in_flight: bool
    place: int = 0
    size_bytes: int = 0


class IndexRow(NamedTuple):
    """A row of `batches` without its body and parts."""

    id: int
    signal: str
    head: str
    units: int
    size_bytes: int
    created: float
    in_flight: bool
    place: int


class SegmentRow(NamedTuple):
    """One row of `segments`."""

    id: int
    head: str
    body: bytes
    parts: bytes
    units: int


class Leftovers(NamedTuple):
    """What an earlier process left.

    Attributes:
        batches: without their bodies, oldest first.
        segments: log events in no batch, oldest first.
        deltas: window and blob, oldest first.
        levels: series and value of gauges, as they were written.
        batch: the highest id.
        segment: the highest id.
        window: the highest serial.
    """

    batches: list[IndexRow]
    segments: list[SegmentRow]
    deltas: list[tuple[int, bytes]]
    levels: list[tuple[str, str]]
    batch: int
    segment: int
    window: int


@dataclass(slots=True, frozen=True)
class Statement:
    """One statement of a transaction, for one or several rows.

    Attributes:
        sql: with placeholders.
        rows: the values, or what gives them: asked in the spool's thread.
        owed: of a deletion that must be made some day, even if the transaction it came with fails: the table and the
            column whose values the rows hold.
    """

    sql: str
    rows: tuple[tuple[Any, ...], ...] | Callable[[], tuple[tuple[Any, ...], ...]]
    owed: Key | None = None

    def owe(self, deletions: Deletions) -> None:
        """Add what this statement deletes to deletions that are to be made later."""
        if self.owed is not None and not callable(self.rows):
            deletions.add(self.owed, (id_ for (id_,) in self.rows))


def insert_batch(row: Callable[[], BatchRow]) -> Statement:
    """Keep a closed batch; writing a megabyte of it into one row is for the spool's thread."""
    return Statement("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", lambda: (tuple(row()),))


def delete_batches(ids: Iterable[int]) -> Statement:
    """Forget batches: delivered, dropped, or replaced by their parts."""
    return Statement("DELETE FROM batches WHERE id = ?", tuple((id_,) for id_ in ids), ("batches", "id"))


def mark_in_flight(id_: int, *, in_flight: bool) -> Statement:
    """Note that a batch is about to be sent, or certainly was not stored."""
    return Statement("UPDATE batches SET in_flight = ? WHERE id = ?", ((int(in_flight), id_),))


def insert_segment(row: Callable[[], SegmentRow]) -> Statement:
    """Keep log events that are in no batch yet."""
    return Statement("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", lambda: (tuple(row()),))


def delete_segments(ids: Iterable[int]) -> Statement:
    """Forget segments whose events are in batches now."""
    return Statement("DELETE FROM segments WHERE id = ?", tuple((id_,) for id_ in ids), ("segments", "id"))


def insert_delta(window: int, body: bytes) -> Statement:
    """Keep what one open window gained."""
    return Statement("INSERT INTO deltas (window, body) VALUES (?, ?)", ((window, body),))


def delete_deltas_upto(window: int) -> Statement:
    """Forget the deltas of an earlier process: what they hold is written anew in the same transaction."""
    return Statement("DELETE FROM deltas WHERE window <= ?", ((window,),))


def delete_deltas(windows: Iterable[int]) -> Statement:
    """Forget the deltas of windows that are closed."""
    return Statement(
        "DELETE FROM deltas WHERE window = ?", tuple((window,) for window in windows), ("deltas", "window")
    )


def insert_rejected(signal: str, reason: str, detail: str, element: str, units: int) -> Statement:
    """Keep an element the service refused, for a person to look at."""
    row = (signal, reason, detail[:1_000], element[:4_000], units, time.time())
    return Statement(
        "INSERT INTO rejected (signal, reason, detail, element, units, at) VALUES (?, ?, ?, ?, ?, ?)", (row,)
    )


def delete_all(deletions: Deletions) -> list[Statement]:
    """Deletions that could not be written earlier."""
    return [
        Statement(f"DELETE FROM {table} WHERE {column} BETWEEN ? AND ?", ranges)  # noqa: S608  # ours
        for (table, column), ranges in deletions.items()
    ]


def delete_levels() -> Statement:
    """Delete the values of all gauges."""
    return Statement("DELETE FROM levels", ((),))


def insert_levels(body: bytes) -> Statement:
    """Write the values of gauges; `body` is a JSON array of pairs of series and value."""
    # One call for all of them, during which SQLite releases the interpreter lock.
    sql = "INSERT OR REPLACE INTO levels SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"
    return Statement(sql, ((body.decode(),),))
