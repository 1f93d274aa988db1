"""Log lines: JSON in a container, readable on a terminal; repeated lines come once a minute with their count.

Everything goes through one thread (`console`): the daemon's own lines, and those of libraries through the standard
library's logging, `warnings` and the hooks for uncaught exceptions. These would otherwise write to standard error
themselves, which blocks the event loop where it is a pipe that nobody reads.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, TextIO, cast

import orjson
import structlog

from sidecar.runtime.console import Console

EVERY_SECONDS: Final = 60.0
MOST_KEYS: Final = 1_000  # of the limiter, limited one by one; beyond, lines are limited by their event
MOST_EVENTS: Final = 1_000  # events are literals in the code; the bound is for those that are not
LAST_LINES_SECONDS: Final = 0.5  # for the log to be written at the very end
MESSAGE_CHARACTERS: Final = 300  # of a library's message; asyncio puts whole objects into its messages
TRACEBACK_CHARACTERS: Final = 4_000  # the last ones

console: Console | None = None
"""Where log lines go, once `configure` was called."""


def configure(level: str, format_: Literal["auto", "console", "json"]) -> None:
    """Set up structlog and the standard library's logging for the process: one line an event, on standard error.

    Args:
        level: debug, info, warning or error.
        format_: `auto` is console on a terminal, JSON elsewhere.
    """
    global console  # noqa: PLW0603  # logging is the process's, not an object's
    console = Console(lambda: sys.stderr)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    readable = format_ == "console" or (format_ == "auto" and terminal)
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if readable:
        ending: list[Any] = [structlog.dev.ConsoleRenderer(colors=terminal)]
    else:
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=shared + ending,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", console)),
        cache_logger_on_first_use=True,
    )
    _catch_the_standard_library(max(number, logging.WARNING))


def write(text: str) -> None:
    """Write text as it is to standard error, through the thread where there is one."""
    if console is not None:
        console.write(text)
    elif sys.stderr is not None:
        sys.stderr.write(text)


def lines_dropped() -> int:
    """The number of lines that were not written, since standard error was full, closed or not read."""
    return 0 if console is None else console.lost


def close() -> None:
    """Wait up to half a second for queued lines to be written, at the end of the process."""
    if console is not None:
        console.close(LAST_LINES_SECONDS)


def _json(event: dict[str, Any], **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # lone surrogates, integers over 64 bits
        return json.dumps(event, default=str, skipkeys=True)


class Limiter:
    """Logs a line the first time and then at most once a minute, with the number of lines omitted.

    Each line has a key, by which it is limited. Beyond `MOST_KEYS` keys within a minute, lines are limited by their level
    and event, so that a flood of keys neither fills the log nor hides an event that
    has not been logged yet.
    """

    def __init__(self, monotonic: Callable[[], float], every_seconds: float = EVERY_SECONDS) -> None:
        """Limit by this clock (monotonic seconds)."""
        self._monotonic = monotonic
        self._every = every_seconds
        # {key: (time of the last line, lines omitted since)}, the oldest first
        self._logged: dict[str, tuple[float, int]] = {}
        self._events: dict[str, tuple[float, int]] = {}  # the same by level and event, for keys beyond the bound
        self._log = structlog.get_logger()

    def warning(self, key: str, event: str, **fields: object) -> None:
        """Log something unexpected by which the sidecar loses nothing."""
        self._line("warning", key, event, fields)

    def error(self, key: str, event: str, **fields: object) -> None:
        """Log a loss of data, or what needs a person."""
        self._line("error", key, event, fields)

    def _line(self, method: str, key: str, event: str, fields: dict[str, object]) -> None:
        now = self._monotonic()
        table = self._logged
        if key not in table and not self._has_room(table, MOST_KEYS, now):
            table, key = self._events, f"{method} {event}"
            if key not in table and not self._has_room(table, MOST_EVENTS, now):
                del table[next(iter(table))]
        logged_at, omitted = table.get(key, (-self._every, 0))
        if now - logged_at < self._every:
            table[key] = (logged_at, omitted + 1)
            return
        table.pop(key, None)  # and added at the end: ordered by the time of the last line
        table[key] = (now, 0)
        if omitted:
            fields["omitted"] = omitted
        getattr(self._log, method)(event, **fields)

    def _has_room(self, table: dict[str, tuple[float, int]], most: int, now: float) -> bool:
        """True if a key may be added; the oldest is removed where its minute is over."""
        if len(table) < most:
            return True
        oldest = next(iter(table))
        if now - table[oldest][0] < self._every:
            return False
        del table[oldest]
        return True


class _LibraryHandler(logging.Handler):
    """Writes records of the standard library's logging as limited lines of this log."""

    def __init__(self) -> None:
        super().__init__()
        self._limiter = Limiter(monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record; called from any thread, under the handler's lock."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001  # arguments that do not fit their format: the library's bug
            message = f"{record.msg} ({error!r})"
        fields: dict[str, object] = {"logger": record.name, "message": message[:MESSAGE_CHARACTERS]}
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            fields["error"] = kind.__name__
            if record.name.split(".")[0] == "aiohttp":
                # Its errors quote the request, headers with credentials included: only file and line are logged.
                fields["where"] = _where(trace)
            else:
                text = structlog.processors.format_exc_info(None, "", {"exc_info": record.exc_info})["exception"]
                fields["exception"] = str(text)[-TRACEBACK_CHARACTERS:]
        # The message's format, a literal of the library: with its arguments every line would have a key of its own.
        key = f"{record.name} {str(record.msg)[:100]} {fields.get('error')}"
        log = self._limiter.error if record.levelno >= logging.ERROR else self._limiter.warning
        log(key, "message from a library", **fields)


def _where(trace: TracebackType | None) -> str | None:
    """File and line where an exception was raised."""
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _catch_the_standard_library(level: int) -> None:
    """Route logging, warnings and the hooks of the interpreter through this log."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler())
    root.setLevel(level)
    logging.raiseExceptions = False  # a handler that fails would print to standard error
    logging.captureWarnings(capture=True)
    # The SDK logs failed credential refreshes with tracebacks; the daemon logs these itself.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    logging.getLogger("aiobotocore").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    log = logging.getLogger("python")

    def uncaught_in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("uncaught exception: exiting", exc_info=(kind, error, trace))
        close()  # the process ends now, and the thread with it

    def uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_type is not SystemExit and arguments.exc_value is not None:
            found = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
            log.critical("uncaught exception in a thread", exc_info=found)

    def unraisable(arguments: Any) -> None:
        error = arguments.exc_value or arguments.exc_type()
        log.error("exception ignored", exc_info=(arguments.exc_type, error, arguments.exc_traceback))

    sys.excepthook = uncaught_in_main
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable
