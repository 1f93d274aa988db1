"""The ledger: received + recovered = delivered + pending + dropped, in plain integers.

Unit of samples: one decoded value (each packed value and each element of `values` counts 1, a statistic set 1,
a line or item that cannot be read 1). Unit of log events: one event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.model.errors import Reason

LOG_GROUPS: Final = 500  # whose bytes are counted apart
OTHER_GROUPS: Final = "(other groups)"  # no group has blanks or parentheses in its name
REQUEST_SECONDS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class SignalLedger:
    """The account of one signal: samples or log events.

    `pending` is the sum of what the holders report, and never derived from the other counts, so that the equation can be
    checked.
    """

    def __init__(self) -> None:
        """Start at zero, without holders."""
        self.received: Counter[str] = Counter()  # {input: units}
        self.recovered = 0
        self.delivered = 0
        self.dropped: Counter[Reason] = Counter()
        self.ambiguous = 0  # units of requests that were sent again though they may have been stored
        self.holders: list[Callable[[], int]] = []

    @property
    def pending(self) -> int:
        """Units accepted and not yet delivered or dropped."""
        return sum(held() for held in self.holders)

    def summary(self) -> dict[str, Any]:
        """The account, for the last log line and `/stats`."""
        return {
            "received": sum(self.received.values()),
            "received_by_input": dict(self.received),
            "recovered": self.recovered,
            "delivered": self.delivered,
            "pending": self.pending,
            "dropped": sum(self.dropped.values()),
            "dropped_by_reason": {reason.value: units for reason, units in self.dropped.items()},
            "ambiguous": self.ambiguous,
        }


@dataclass(slots=True)
class RequestLedger:
    """Requests to the destination, by operation."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # {(operation, outcome): requests}
    seconds: dict[str, list[int]] = field(default_factory=dict)  # {operation: requests per bucket, +Inf last}
    total_seconds: Counter[str] = field(default_factory=Counter)

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one request that took so long (monotonic seconds)."""
        self.outcomes[operation, outcome] += 1
        buckets = self.seconds.setdefault(operation, [0] * (len(REQUEST_SECONDS_BUCKETS) + 1))
        buckets[bisect_left(REQUEST_SECONDS_BUCKETS, seconds)] += 1
        self.total_seconds[operation] += seconds  # type: ignore[assignment]  # a Counter of floats adds as well


@dataclass(slots=True)
class DatagramLedger:
    """Datagrams: arrived = read + discarded + dropped by the kernel.

    Attributes:
        read: datagrams read from the sockets.
        discarded: datagrams that had arrived and were unread when the drain closed the sockets.
        receivers: each returns the datagrams that the kernel dropped at its sockets; None where the system has no such
            counter.
    """

    read: int = 0
    discarded: int = 0
    receivers: list[Callable[[], int | None]] = field(default_factory=list)

    def kernel_dropped(self) -> int | None:
        """Datagrams dropped by the kernel at all sockets; None where no socket has such a counter."""
        counts = [count for receiver in self.receivers if (count := receiver()) is not None]
        return sum(counts) if counts else None


class LogBytes:
    """Bytes of delivered log events as the service bills them: uncompressed, with 26 for each event."""

    def __init__(self) -> None:
        """Start without a group."""
        self.by_group: Counter[str] = Counter()

    def count(self, group: str, size_bytes: int) -> None:
        """Count bytes of a group; beyond `LOG_GROUPS` groups those of new ones together, under `OTHER_GROUPS`."""
        known = group in self.by_group or len(self.by_group) < LOG_GROUPS
        self.by_group[group if known else OTHER_GROUPS] += size_bytes


class Ledger:
    """Everything that is counted."""

    def __init__(self) -> None:
        """Start at zero."""
        self.samples = SignalLedger()
        self.log_events = SignalLedger()
        self.datagrams = DatagramLedger()
        self.requests = RequestLedger()
        self.log_bytes = LogBytes()
        self.responses: Counter[tuple[str, int]] = Counter()  # {(route, status code): responses} of the HTTP listeners
        # {kind: samples or log events} accepted with a change: cut, folded, repaired, a field ignored.
        self.adjusted: Counter[str] = Counter()
        self.client_telemetry: Counter[str] = Counter()  # {name: total} of DogStatsD clients' metrics about themselves
        self.flushes: Counter[tuple[str, str]] = Counter()  # {(signal, cause): flushes}
        self.reloads: Counter[str] = Counter()  # {outcome: reloads of the configuration}
