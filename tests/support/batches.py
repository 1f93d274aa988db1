"""Batches' columns, built from and read as rows, which is how a test states them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.batch import logs as log_batches
from sidecar.model.batches import Datum, Datums, Events


class EncodedEvent(NamedTuple):
    """One log event of `Events`: milliseconds since the epoch, its JSON, what CloudWatch Logs counts it as."""

    timestamp_ms: int
    body: bytes
    size_bytes: int


def encoded(timestamp_ms: int, message: str) -> EncodedEvent:
    """One log event, encoded as a buffer does it."""
    return EncodedEvent(timestamp_ms, *log_batches.encode(timestamp_ms, message))


def event_columns(rows: Iterable[EncodedEvent]) -> Events:
    columns = Events()
    for row in rows:
        columns.add(*row)
    return columns


def event_rows(columns: Events) -> list[EncodedEvent]:
    return list(map(EncodedEvent, columns.stamps, columns.bodies, columns.sizes))


def datum_columns(rows: Iterable[Datum]) -> Datums:
    columns = Datums()
    for row in rows:
        columns.add(*row)
    return columns


def datum_rows(columns: Datums) -> list[Datum]:
    return list(map(Datum, columns.bodies, columns.samples))
