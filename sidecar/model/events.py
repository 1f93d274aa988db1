"""Log events as decoders yield them, and the outcome of one request body."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass


@dataclass(slots=True)
class LogEvent:
    """One log event as decoded, not yet routed.

    Attributes:
        timestamp_ms: its own time, milliseconds since the epoch, not checked against the present; None: it brought
            none that can be read, and gets the time of its arrival.
        message: what CloudWatch Logs will store; never empty.
        fields: the top-level fields of a JSON event, for routing; empty for a plain line.
        group, stream: the event's own override of the configured routing.
        from_statsd: a DogStatsD event or service check.
        from_emf: a document in embedded metric format.
        unreadable_timestamp: it brought a timestamp that cannot be read.
    """

    timestamp_ms: int | None
    message: str
    fields: dict[str, object]
    group: str | None = None
    stream: str | None = None
    unreadable_timestamp: bool = False
    from_statsd: bool = False
    from_emf: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of the items of one body.

    Attributes:
        accepted: how many were accepted.
        rejected: index (from 0) and reason of those that were not, the first 1,000 of them.
        rejected_total: how many were not, in all.
        durable: awaitable: True if what was accepted is in the spool; None where there is no spool.
    """

    accepted: int
    rejected: list[tuple[int, str]]
    rejected_total: int
    durable: Awaitable[bool] | None = None
