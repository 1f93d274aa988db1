"""What was asked of the double: a bounded list of requests, and a way to wait for more.

Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Watcher: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request, recorded when its answer was decided.

    Attributes:
        operation: e.g. `PutMetricData`.
        target: the namespace, or `group:stream` (a group's name holds no colon).
        status: HTTP status of the answer; 0 if there was none (reset, or the client left).
        error: the error code; None for a success.
        items: datums or log events in the request, stored or not.
        stored: whether they were stored, even if the client was not told.
        wire_bytes: size of the body as it came.
        body_bytes: size of the body after inflating.
        compressed: whether it came with `Content-Encoding: gzip`.
        fingerprint: hash of the inflated body; equal bodies have equal fingerprints.
        fault: the kind of the scripted fault that was applied, if any.
        access_key_id: whose credentials signed it.
        client_port: the client's TCP port, which tells its connections apart.
        started_at: monotonic seconds, headers read.
        ended_at: monotonic seconds, answer decided.
    """

    operation: str
    target: str
    status: int
    error: str | None
    items: int
    stored: bool
    wire_bytes: int
    body_bytes: int
    compressed: bool
    fingerprint: str
    fault: str | None
    access_key_id: str
    client_port: int
    started_at: float
    ended_at: float


class RequestLog:
    """The last requests, oldest first; iterating gives a copy.

    Args:
        remember: how many to keep; `total` counts all.
    """

    def __init__(self, remember: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._records: deque[RequestRecord] = deque(maxlen=remember)
        self._totals: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._watchers: set[Watcher] = set()

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self.of())

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)

    def of(self, operation: str | None = None) -> list[RequestRecord]:
        """Return the records of one operation; None for all."""
        with self._lock:
            return [each for each in self._records if operation in (None, each.operation)]

    def total(self, operation: str | None = None) -> int:
        """How many requests ended, those forgotten included."""
        with self._lock:
            return self._totals.total() if operation is None else self._totals[operation]

    def in_flight(self, operation: str | None = None) -> int:
        """How many requests have begun and not ended."""
        with self._lock:
            return self._in_flight.total() if operation is None else self._in_flight[operation]

    def peak_in_flight(self, operation: str, target: str | None = None) -> int:
        """Find the most requests of an operation (on one target) that overlapped in time."""
        edges: list[tuple[float, int]] = []
        for record in self.of(operation):
            if target in (None, record.target):
                edges += [(record.started_at, 1), (record.ended_at, -1)]
        running = peak = 0
        for _, step in sorted(edges):
            running += step
            peak = max(peak, running)
        return peak

    def stored_twice(self, operation: str | None = None) -> dict[str, int]:
        """{fingerprint: times} of bodies that were stored more than once.

        A duplicate send, unless the client has reason to send equal bodies.
        """
        times = Counter(each.fingerprint for each in self.of(operation) if each.stored)
        return {fingerprint: count for fingerprint, count in times.items() if count > 1}

    def clear(self) -> None:
        """Forget the records and their total."""
        with self._lock:
            self._records.clear()
            self._totals.clear()

    # --- for the server and for waiting ----------------------------------------------------

    def begin(self, operation: str) -> None:
        """Note that a request has begun."""
        with self._lock:
            self._in_flight[operation] += 1
        self.changed()

    def end(self, record: RequestRecord) -> None:
        """Note that a request has ended."""
        with self._lock:
            self._in_flight[record.operation] -= 1
            self._records.append(record)
            self._totals[record.operation] += 1
        self.changed()

    def changed(self) -> None:
        """Call the watchers; from the server's thread, without a lock held."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` whenever a request begins, stores or ends.

        Returns:
            A function that ends it.
        """
        with self._lock:
            self._watchers.add(watcher)

        def unwatch() -> None:
            with self._lock:
                self._watchers.discard(watcher)

        return unwatch
