"""`sidecar spool`: what is in a spool, out of it as JSON lines, and away with it.

`show` and `export` read beside a running daemon; `purge` takes the directory's lock, so it refuses while one runs.
Files that were set aside as damaged are read with --file, as far as they can be. Whatever is wrong with a directory
or a file is a sentence and status 1.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
import orjson

from sidecar.config.load import load
from sidecar.spool.codec import LogCodec, MetricCodec
from sidecar.spool.files import FILE, SpoolError, check, damaged, files_set_aside
from sidecar.spool.rows import Statement
from sidecar.spool.store import SpoolStore


class _Place(NamedTuple):
    """What to look into: a directory, and the database in it or one that was set aside."""

    directory: Path
    file: Path


@click.group()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The spool directory.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A file that was set aside, in its place.")
@click.option("--config", "path", envvar="SIDECAR_CONFIG", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def spool(context: click.Context, directory: Path | None, file: Path | None, path: Path | None) -> None:
    """Look into a spool: deliver.spool_dir of the configuration, or --dir, or a single --file."""
    if file is not None:
        directory = file.parent
    if directory is None:
        configured = load(path, os.environ).deliver.spool_dir
        if configured is None:
            _fail("no spool: give --dir, or set deliver.spool_dir")
        directory = Path(configured)
    if not directory.is_dir():
        _fail(f"{directory} is not a directory" if directory.exists() else f"{directory} does not exist")
    context.obj = _Place(directory, file or directory / FILE)


@spool.command()
@click.pass_obj
def show(place: _Place) -> None:
    """Counts, ages and bytes, what the service refused with its reason, and files that were set aside."""
    try:
        if place.file.name != FILE or place.file.exists() or not files_set_aside(place.directory):
            with closing(_read_only(place.file)) as database:
                _show(database)
    except sqlite3.Error as error:
        _show_set_aside(place.directory)
        _fail(f"{place.file}: {error}; `sidecar spool export` writes what can be read of it")
    _show_set_aside(place.directory)


def _show(database: sqlite3.Connection) -> None:
    now = time.time()
    for signal, count, units, size, oldest, in_flight in database.execute(
        "SELECT signal, COUNT(*), SUM(units), SUM(length(body)), MIN(created), SUM(in_flight) FROM batches"
        " GROUP BY signal ORDER BY signal",
    ):
        age = max(0.0, now - oldest)
        click.echo(f"{signal}: {count} batches, {units} units, {size} bytes, oldest {age:.0f} s, {in_flight} in flight")
    for table, what in (("segments", "log events in no batch yet"), ("deltas", "checkpoints of open windows")):
        count, size = database.execute(f"SELECT COUNT(*), COALESCE(SUM(length(body)), 0) FROM {table}").fetchone()  # noqa: S608  # ours
        click.echo(f"{table}: {count} rows, {size} bytes ({what})")
    for signal, reason, count, units in database.execute(
        "SELECT signal, reason, COUNT(*), SUM(units) FROM rejected GROUP BY signal, reason ORDER BY signal, reason",
    ):
        click.echo(f"rejected {signal} {reason}: {count} elements, {units} units")


def _show_set_aside(directory: Path) -> None:
    for file in files_set_aside(directory):
        with suppress(OSError):
            click.echo(f"set aside: {file}, {file.stat().st_size} bytes (read it with --file)")


@spool.command()
@click.pass_obj
def export(place: _Place) -> None:
    """Everything as JSON lines: datums, log events, and what was refused; of a damaged file what can be read."""
    problems: list[str] = []
    try:
        with closing(_read_only(place.file)) as database:
            for line in _lines(database, problems):
                sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            sys.stdout.buffer.flush()
    except sqlite3.Error as error:
        problems.append(str(error))
    except BrokenPipeError:
        # Whoever read it has enough; or the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if problems:
        _fail("\n".join(f"{place.file}: {problem}" for problem in problems))


@spool.command()
@click.option("--rejected", is_flag=True, help="Only what the service refused.")
@click.confirmation_option(prompt="This deletes what is not delivered. Go on?")
@click.pass_obj
def purge(place: _Place, rejected: bool) -> None:  # noqa: FBT001  # click passes flags so
    """Delete what is in the spool; refuses while a daemon uses it. Files that were set aside are left alone."""
    directory = place.directory
    if place.file.name != FILE:
        _fail(f"{place.file} is no spool in use: remove it, with what stands beside it, by hand")
    if not place.file.exists():
        _fail(f"{place.file} does not exist")
    tables = ("rejected",) if rejected else ("batches", "segments", "deltas", "levels", "rejected")
    try:
        check(place.file)
        with closing(SpoolStore.open(directory)) as store:
            store.run([Statement(f"DELETE FROM {table} WHERE rowid > ?", ((-1,),)) for table in tables])  # noqa: S608  # ours
    except sqlite3.DatabaseError as error:
        hint = ": the next start sets it aside; nothing was deleted" if damaged(error) else ""
        _fail(f"{place.file}: {error}{hint}")
    except (SpoolError, OSError) as error:
        _fail(str(error))
    click.echo("purged " + ", ".join(tables))
    _show_set_aside(directory)


def _read_only(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        _fail(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    try:
        with path.open("rb") as file:
            file.read(1)
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
    except (OSError, sqlite3.Error) as error:
        _fail(f"{path}: {error}")


def _lines(database: sqlite3.Connection, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Every element, and the problems of rows that cannot be read."""
    metrics, logs = MetricCodec(), LogCodec()

    def datums(row: tuple[Any, ...]) -> list[dict[str, Any]]:
        batch = metrics.decode(*row)
        return [
            {"kind": "datum", "namespace": batch.namespace, "datum": orjson.loads(body)} for body in batch.datums.bodies
        ]

    def events(row: tuple[Any, ...]) -> list[dict[str, Any]]:
        batch = logs.decode(*row)
        kind = {"kind": "log_event", "group": batch.group, "stream": batch.stream}
        return [{**kind, **orjson.loads(body)} for body in batch.events.bodies]

    def refused(row: tuple[Any, ...]) -> list[dict[str, Any]]:
        columns = ("signal", "reason", "detail", "element", "units", "at")
        return [{"kind": "rejected", **dict(zip(columns, row, strict=True))}]

    tables: list[tuple[str, str, str, Callable[[tuple[Any, ...]], list[dict[str, Any]]]]] = [
        ("batches", "head, body, parts", "signal = 'metrics'", datums),
        ("batches", "head, body, parts", "signal = 'logs'", events),
        ("segments", "head, body, parts", "1", events),
        ("rejected", "signal, reason, detail, element, units, at", "1", refused),
    ]
    for table, columns, which, read in tables:
        for id_, row in _rows(database, table, columns, which, problems):
            try:
                yield from read(row)
            except (ValueError, TypeError) as error:
                problems.append(f"{table} {id_} cannot be read: {error}")


def _rows(
    database: sqlite3.Connection, table: str, columns: str, which: str, problems: list[str]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Rows in ascending order; where a page in between is damaged, those behind it from the other end."""
    last = -1
    question = f"SELECT id, {columns} FROM {table} WHERE {which}"  # noqa: S608  # ours
    try:
        for id_, *row in database.execute(f"{question} ORDER BY id"):
            yield id_, tuple(row)
            last = id_
    except sqlite3.Error as error:
        problems.append(f"{table} is damaged behind row {max(last, 0)}: {error}")
        with suppress(sqlite3.Error):
            for id_, *row in database.execute(f"{question} AND id > ? ORDER BY id DESC", (last,)):
                yield id_, tuple(row)


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
