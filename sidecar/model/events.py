"""Log events as decoders yield them, and the outcome of one request body."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class LogEvent:
    """One log event as it came, not yet routed.

    Attributes:
        timestamp_ms: milliseconds since the epoch; the event's own time, or that of its arrival.
        message: what CloudWatch Logs will store; never empty.
        fields: the top-level fields of a JSON event, for routing; empty for a plain line.
        group, stream: the event's own override of the configured routing.
        from_statsd: a DogStatsD event or service check.
        late_stamped: the event brought a timestamp that could not be read and got the arrival time.
    """

    timestamp_ms: int
    message: str
    fields: dict[str, object]
    group: str | None = None
    stream: str | None = None
    late_stamped: bool = False
    from_statsd: bool = False


class Outcome(NamedTuple):
    """What became of the items of one body.

    Attributes:
        accepted: how many were taken.
        rejected: index (from 0) and reason of those that were not, the first 1,000 of them.
        rejected_total: how many that were in all.
        durable: to be awaited: whether what was accepted outlives this process; None: nobody asked for that.
    """

    accepted: int
    rejected: list[tuple[int, str]]
    rejected_total: int
    durable: Awaitable[bool] | None = None
