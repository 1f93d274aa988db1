"""Log lines: JSON in a container, readable on a terminal; what repeats is said once a minute."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, Literal, TextIO, cast

import orjson
import structlog

from sidecar.observe.console import Console

EVERY_SECONDS: Final = 60.0
MOST_KEYS: Final = 1_000  # of the limiter; beyond, it starts over


console: Console | None = None
"""Where log lines go, once `configure` was called."""


def configure(level: str, format_: Literal["auto", "console", "json"]) -> None:
    """Set up structlog for the process: one line an event, on standard error.

    Args:
        level: debug, info, warning or error.
        format_: `auto` is console on a terminal, JSON elsewhere.
    """
    global console  # noqa: PLW0603  # logging is the process's, not an object's
    console = Console(lambda: sys.stderr)
    readable = format_ == "console" or (format_ == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if readable:
        ending: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    structlog.configure(
        processors=shared + ending,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", console)),
        cache_logger_on_first_use=True,
    )
    # The SDK logs failed credential refreshes with tracebacks; what matters of them is in our own lines.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    logging.getLogger("aiobotocore").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)


def _json(event: dict[str, Any], **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # lone surrogates, integers over 64 bits: a line that is less pretty beats none
        return json.dumps(event, default=str, skipkeys=True)


class Limiter:
    """Says a thing the first time and then at most once a minute, with how often it went unsaid."""

    def __init__(self, monotonic: Callable[[], float], every_seconds: float = EVERY_SECONDS) -> None:
        """Take the clock (monotonic seconds) to measure by."""
        self._monotonic = monotonic
        self._every = every_seconds
        self._said: dict[str, tuple[float, int]] = {}  # {key: (when last said, times unsaid since)}
        self._log = structlog.get_logger()

    def warning(self, key: str, event: str, **fields: object) -> None:
        """Something surprising, nothing lost by us."""
        self._say("warning", key, event, fields)

    def error(self, key: str, event: str, **fields: object) -> None:
        """Data lost, or a person needed."""
        self._say("error", key, event, fields)

    def _say(self, method: str, key: str, event: str, fields: dict[str, object]) -> None:
        now = self._monotonic()
        said_at, unsaid = self._said.get(key, (-self._every, 0))
        if now - said_at < self._every:
            self._said[key] = (said_at, unsaid + 1)
            return
        if key not in self._said and len(self._said) >= MOST_KEYS:
            self._said = {known: said for known, said in self._said.items() if now - said[0] < self._every}
            if len(self._said) >= MOST_KEYS:
                return  # a thousand different things were said within the minute: that is enough
        self._said[key] = (now, 0)
        if unsaid:
            fields["unsaid_before"] = unsaid
        getattr(self._log, method)(event, **fields)
