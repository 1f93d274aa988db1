"""`sidecar spool`: what is in a spool, out of it as JSON lines, and away with it.

`show` and `export` read beside a running daemon; `purge` takes the directory's lock, so it refuses while one runs.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from sidecar.config import load
from sidecar.deliver.codec import LogCodec, MetricCodec
from sidecar.deliver.spool_store import FILE, SpoolError, SpoolStore, Statement


@click.group()
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="The spool directory.")
@click.option("--config", "path", envvar="SIDECAR_CONFIG", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def spool(context: click.Context, directory: Path | None, path: Path | None) -> None:
    """Look into a spool: deliver.spool_dir of the configuration, or --dir."""
    if directory is None:
        configured = load(path, os.environ).deliver.spool_dir
        if configured is None:
            _fail("no spool: give --dir, or set deliver.spool_dir")
        directory = Path(configured)
    context.obj = directory


@spool.command()
@click.pass_obj
def show(directory: Path) -> None:
    """Counts, ages and bytes, and what the service refused with its reason."""
    with closing(_read_only(directory)) as database:
        now = time.time()
        for signal, count, units, size, oldest, in_flight in database.execute(
            "SELECT signal, COUNT(*), SUM(units), SUM(length(body)), MIN(created), SUM(in_flight) FROM batches"
            " GROUP BY signal ORDER BY signal",
        ):
            age = max(0.0, now - oldest)
            click.echo(
                f"{signal}: {count} batches, {units} units, {size} bytes, oldest {age:.0f} s, {in_flight} in flight"
            )
        for table, what in (("segments", "log events in no batch yet"), ("deltas", "checkpoints of open windows")):
            count, size = database.execute(f"SELECT COUNT(*), COALESCE(SUM(length(body)), 0) FROM {table}").fetchone()  # noqa: S608  # ours
            click.echo(f"{table}: {count} rows, {size} bytes ({what})")
        for signal, reason, count, units in database.execute(
            "SELECT signal, reason, COUNT(*), SUM(units) FROM rejected GROUP BY signal, reason ORDER BY signal, reason",
        ):
            click.echo(f"rejected {signal} {reason}: {count} elements, {units} units")


@spool.command()
@click.pass_obj
def export(directory: Path) -> None:
    """Everything as JSON lines: datums, log events, and what was refused."""
    with closing(_read_only(directory)) as database:
        for line in _lines(database):
            sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


@spool.command()
@click.option("--rejected", is_flag=True, help="Only what the service refused.")
@click.confirmation_option(prompt="This deletes what is not delivered. Go on?")
@click.pass_obj
def purge(directory: Path, rejected: bool) -> None:  # noqa: FBT001  # click passes flags so
    """Delete what is in the spool; refuses while a daemon uses it."""
    tables = ("rejected",) if rejected else ("batches", "segments", "deltas", "rejected")
    try:
        with closing(SpoolStore.open(directory, 2**40)) as store:
            store.run([Statement(f"DELETE FROM {table} WHERE id > ?", ((-1,),)) for table in tables])  # noqa: S608  # ours
    except (SpoolError, sqlite3.Error) as error:
        _fail(str(error))
    click.echo("purged " + ", ".join(tables))


def _read_only(directory: Path) -> sqlite3.Connection:
    path = directory / FILE
    if not path.is_file():
        _fail(f"{path} does not exist")
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)
        database.execute("SELECT COUNT(*) FROM batches").fetchone()
    except sqlite3.Error as error:
        _fail(f"{path}: {error}")
    return database


def _lines(database: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    metrics, logs = MetricCodec(), LogCodec()
    for head, body, parts in database.execute(
        "SELECT head, body, parts FROM batches WHERE signal = 'metrics' ORDER BY id"
    ):
        batch = metrics.decode(head, body, parts)
        for datum in batch.datums:
            yield {"kind": "datum", "namespace": batch.namespace, "datum": orjson.loads(datum.body)}
    rows = (
        "SELECT head, body, parts FROM batches WHERE signal = 'logs' UNION ALL SELECT head, body, parts FROM segments"
    )
    for head, body, parts in database.execute(rows):
        events = logs.decode(head, body, parts)
        for event in events.events:
            encoded = orjson.loads(event.body)
            yield {"kind": "log_event", "group": events.group, "stream": events.stream, **encoded}
    columns = ("signal", "reason", "detail", "element", "units", "at")
    for row in database.execute("SELECT signal, reason, detail, element, units, at FROM rejected ORDER BY id"):
        yield {"kind": "rejected", **dict(zip(columns, row, strict=True))}


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
