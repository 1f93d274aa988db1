"""`sidecar spool`: show the content of a spool, export it as JSON lines, delete it.

`show` and `export` read beside a running daemon; `purge` needs the directory's lock, so it refuses while one runs.
Files that were set aside as damaged are read with --file, as far as possible. Problems with a directory or a file are
reported as a sentence, with status 1.
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


class _Location(NamedTuple):
    """A spool directory, and the database in it or one that was set aside."""

    directory: Path
    file: Path


@click.group()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The spool directory.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A file that was set aside, in its location.")
@click.option("--config", "path", envvar="SIDECAR_CONFIG", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def spool(context: click.Context, directory: Path | None, file: Path | None, path: Path | None) -> None:
    """Inspect a spool: deliver.spool_dir of the configuration, or --dir, or a single --file."""
    if file is not None:
        directory = file.parent
    if directory is None:
        configured = load(path, os.environ).deliver.spool_dir
        if configured is None:
            _fail("no spool: give --dir, or set deliver.spool_dir")
        directory = Path(configured)
    if not directory.is_dir():
        _fail(f"{directory} is not a directory" if directory.exists() else f"{directory} does not exist")
    context.obj = _Location(directory, file or directory / FILE)


@spool.command()
@click.pass_obj
def show(location: _Location) -> None:
    """Show counts, ages and bytes, what the service rejected and why, and files that were set aside."""
    try:
        if location.file.name != FILE or location.file.exists() or not files_set_aside(location.directory):
            with closing(_read_only(location.file)) as database:
                _show(database)
    except sqlite3.Error as error:
        _show_set_aside(location.directory)
        _fail(f"{location.file}: {error}; `sidecar spool export` writes what can be read of it")
    _show_set_aside(location.directory)


def _show(database: sqlite3.Connection) -> None:
    now = time.time()
    for signal, count, units, size, oldest, in_flight in database.execute(
        "SELECT signal, COUNT(*), SUM(units), SUM(length(body)), MIN(created), SUM(in_flight) FROM batches"
        " GROUP BY signal ORDER BY signal",
    ):
        age = max(0.0, now - oldest)
        click.echo(f"{signal}: {count} batches, {units} units, {size} bytes, oldest {age:.0f} s, {in_flight} in flight")
    for table, what in (("segments", "log events in no batch yet"), ("deltas", "checkpoints of open windows")):
        count, size = database.execute(f"SELECT COUNT(*), COALESCE(SUM(length(body)), 0) FROM {table}").fetchone()  # noqa: S608  # no input
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
def export(location: _Location) -> None:
    """Write everything as JSON lines: datums, log events and rejected ones; of a damaged file what can be read."""
    problems: list[str] = []
    try:
        with closing(_read_only(location.file)) as database:
            for line in _lines(database, problems):
                sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            sys.stdout.buffer.flush()
    except sqlite3.Error as error:
        problems.append(str(error))
    except BrokenPipeError:
        # The reader has read enough. Otherwise the interpreter would report the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if problems:
        _fail("\n".join(f"{location.file}: {problem}" for problem in problems))


@spool.command()
@click.option("--rejected", is_flag=True, help="Only what the service rejected.")
@click.confirmation_option(prompt="This deletes what is not delivered. Continue?")
@click.pass_obj
def purge(location: _Location, rejected: bool) -> None:  # noqa: FBT001  # click passes flags so
    """Delete the content of the spool; refuses while a daemon uses it. Files that were set aside are not deleted."""
    directory = location.directory
    if location.file.name != FILE:
        _fail(f"{location.file} is not a spool in use: remove it and the files beside it by hand")
    if not location.file.exists():
        _fail(f"{location.file} does not exist")
    tables = ("rejected",) if rejected else ("batches", "segments", "deltas", "levels", "rejected")
    try:
        check(location.file)
        with closing(SpoolStore.open(directory)) as store:
            store.run([Statement(f"DELETE FROM {table} WHERE rowid > ?", ((-1,),)) for table in tables])  # noqa: S608  # no input
    except sqlite3.DatabaseError as error:
        hint = ": the next start sets it aside; nothing was deleted" if damaged(error) else ""
        _fail(f"{location.file}: {error}{hint}")
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
    """Rows in ascending order; those behind a damaged page in descending order, from the end."""
    last = -1
    question = f"SELECT id, {columns} FROM {table} WHERE {which}"  # noqa: S608  # no input
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
