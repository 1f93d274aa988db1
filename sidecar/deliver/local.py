"""The local target: what would have been sent to AWS, kept in an embedded store and shown on the console.

Everything works without AWS or credentials. The store is SQLite, in memory unless a path is given, and bounded:
the oldest rows go first.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

import orjson

from sidecar.deliver.worker import Rejected
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import ConfigError, DeliveryError

SHOWN_PER_REQUEST: Final = 12  # lines on the console; the rest is a count

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS datums (
    id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, dimensions TEXT, unit TEXT, resolution INTEGER,
    timestamp INTEGER, sample_count REAL, sum REAL, minimum REAL, maximum REAL, body TEXT);
CREATE TABLE IF NOT EXISTS log_events (
    id INTEGER PRIMARY KEY, log_group TEXT, log_stream TEXT, timestamp_ms INTEGER, message TEXT);
"""
_INSERT_DATUM: Final = (
    "INSERT INTO datums (namespace, name, dimensions, unit, resolution, timestamp, sample_count, sum, minimum,"
    " maximum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_EVENT: Final = "INSERT INTO log_events (log_group, log_stream, timestamp_ms, message) VALUES (?, ?, ?, ?)"


class LocalStore:
    """The embedded database. Its methods block for as long as SQLite takes: call them in a thread.

    One lock keeps the two signals' threads apart; each call is one transaction.
    """

    def __init__(self, path: str | None, max_bytes: int) -> None:
        """Open or make the database.

        Args:
            path: a file, or None for memory.
            max_bytes: of pages in use; beyond, the oldest rows of the table that grew go, a tenth at a time.

        Raises:
            ConfigError: the file cannot be used.
        """
        # check_same_thread is off: the lock does what it is there for.
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            raise ConfigError([f"deliver.local_path: cannot use {path}: {error}"]) from None
        self._database = database
        self._max_bytes = max_bytes
        self._lock = Lock()

    def add_datums(self, namespace: str, datums: list[dict[str, Any]]) -> None:
        """Store datums of one request."""
        self._add("datums", _INSERT_DATUM, [(namespace, *_columns(datum)) for datum in datums])

    def add_events(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Store the log events of one request."""
        self._add(
            "log_events", _INSERT_EVENT, [(group, stream, event["timestamp"], event["message"]) for event in events]
        )

    def totals(self) -> dict[str, Any]:
        """What the store holds: rows, and per series the merged statistics, as CloudWatch would merge them."""
        with self._lock:
            series = self._database.execute(
                "SELECT namespace, name, dimensions, unit, SUM(sample_count), SUM(sum), MIN(minimum), MAX(maximum)"
                " FROM datums GROUP BY namespace, name, dimensions, unit ORDER BY namespace, name, dimensions"
                " LIMIT 1000",
            ).fetchall()
            streams = self._database.execute(
                "SELECT log_group, log_stream, COUNT(*) FROM log_events GROUP BY log_group, log_stream LIMIT 1000",
            ).fetchall()
            datums = self._database.execute("SELECT COUNT(*) FROM datums").fetchone()[0]
        names = ("namespace", "name", "dimensions", "unit", "sample_count", "sum", "minimum", "maximum")
        shown = [dict(zip(names, row, strict=True)) for row in series]
        for row in shown:
            row["dimensions"] = orjson.loads(row["dimensions"])
        return {
            "datums": datums,
            "log_events": sum(count for _, _, count in streams),
            "series": shown,
            "streams": [{"group": group, "stream": stream, "events": count} for group, stream, count in streams],
        }

    def close(self) -> None:
        """Close the database; nothing may be called afterwards."""
        with self._lock:
            self._database.close()

    def _add(self, table: str, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with self._lock:
            self._database.execute("BEGIN")
            try:
                self._database.executemany(statement, rows)
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise DeliveryError("LocalStore", str(error)) from None
            while self._used_bytes() > self._max_bytes and self._delete_oldest(table):
                pass

    def _used_bytes(self) -> int:
        free, pages, page_bytes = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("freelist_count", "page_count", "page_size")
        )
        return (pages - free) * page_bytes

    def _delete_oldest(self, table: str) -> bool:
        """Delete the oldest tenth; False where there was nothing."""
        oldest = f"SELECT MIN(id) + (MAX(id) - MIN(id)) / 10 FROM {table}"  # noqa: S608  # one of our own two names
        return self._database.execute(f"DELETE FROM {table} WHERE id <= ({oldest})").rowcount > 0  # noqa: S608  # same


class LocalMetrics:
    """The destination of metric batches under `deliver.target: local`."""

    operation = "LocalMetrics"

    def __init__(self, store: LocalStore, show: Callable[[str], None]) -> None:
        """Keep batches in `store` and say each in lines to `show`."""
        self._store = store
        self._show = show

    async def send(self, batch: MetricBatch) -> list[Rejected]:
        """Store one batch; nothing is ever rejected."""
        self._show(await asyncio.to_thread(self._keep, batch))
        return []

    def _keep(self, batch: MetricBatch) -> str:
        # One by one: a whole body would hold the interpreter for milliseconds, and the sockets would wait.
        datums = [orjson.loads(body) for body in batch.datums.bodies]
        self._store.add_datums(batch.namespace, datums)
        lines = [f"PutMetricData  namespace={batch.namespace}  datums={len(datums)}  bytes={batch.size_bytes}"]
        lines += [f"  {_describe(datum)}" for datum in datums[:SHOWN_PER_REQUEST]]
        if len(datums) > SHOWN_PER_REQUEST:
            lines.append(f"  ... and {len(datums) - SHOWN_PER_REQUEST} more")
        return "\n".join(lines)


class LocalLogs:
    """The destination of log batches under `deliver.target: local`."""

    operation = "LocalLogs"

    def __init__(self, store: LocalStore, show: Callable[[str], None]) -> None:
        """Keep batches in `store` and say each in lines to `show`."""
        self._store = store
        self._show = show

    async def send(self, batch: LogBatch) -> list[Rejected]:
        """Store one batch; nothing is ever rejected."""
        self._show(await asyncio.to_thread(self._keep, batch))
        return []

    def _keep(self, batch: LogBatch) -> str:
        events = [orjson.loads(body) for body in batch.events.bodies]
        self._store.add_events(batch.group, batch.stream, events)
        where = f"group={batch.group}  stream={batch.stream}"
        lines = [f"PutLogEvents  {where}  events={len(events)}  bytes={batch.size_bytes}"]
        lines += [
            f"  {_time(event['timestamp'] / 1_000)} {event['message'][:160]}" for event in events[:SHOWN_PER_REQUEST]
        ]
        if len(events) > SHOWN_PER_REQUEST:
            lines.append(f"  ... and {len(events) - SHOWN_PER_REQUEST} more")
        return "\n".join(lines)


def _columns(datum: dict[str, Any]) -> tuple[Any, ...]:
    count, total, minimum, maximum = _statistics(datum)
    dimensions = orjson.dumps({pair["Name"]: pair["Value"] for pair in datum["Dimensions"]}).decode()
    return (
        *(datum["MetricName"], dimensions, datum["Unit"], datum["StorageResolution"], datum["Timestamp"]),
        *(count, total, minimum, maximum, orjson.dumps(datum).decode()),
    )


def _statistics(datum: dict[str, Any]) -> tuple[float, float, float, float]:
    """Sample count, sum, minimum and maximum of a datum in any of its three forms."""
    if "StatisticValues" in datum:
        statistics = datum["StatisticValues"]
        return statistics["SampleCount"], statistics["Sum"], statistics["Minimum"], statistics["Maximum"]
    if "Value" in datum:
        return 1.0, datum["Value"], datum["Value"], datum["Value"]
    values, counts = datum["Values"], datum["Counts"]
    total = sum(value * count for value, count in zip(values, counts, strict=True))
    return sum(counts), total, min(values), max(values)


def _describe(datum: dict[str, Any]) -> str:
    count, total, minimum, maximum = _statistics(datum)
    dimensions = ",".join(f"{pair['Name']}={pair['Value']}" for pair in datum["Dimensions"])
    line = (
        f"{_time(datum['Timestamp'])} {datum['MetricName']}{{{dimensions}}} {datum['Unit']}"
        f"  count={count:g} sum={total:g} min={minimum:g} max={maximum:g}"
    )
    if "Counts" in datum:
        pairs = list(zip(datum["Values"], datum["Counts"], strict=True))
        line += f" p50={_quantile(pairs, count, 0.5):g} p99={_quantile(pairs, count, 0.99):g}"
    return line


def _quantile(pairs: list[tuple[float, float]], count: float, q: float) -> float:
    """The value below which `q` of the weight lies; `pairs` ascend."""
    seen = 0.0
    for value, weight in pairs:
        seen += weight
        if seen >= q * count:
            return value
    return pairs[-1][0]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")
