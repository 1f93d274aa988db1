"""Twenty thousand sidecars share a quota that they know nothing of, and that is nearly or just used up.

Event-driven: each sidecar is its own pace and backoff, the service a bucket of tokens that holds a second's worth.
All start at the same moment, as after a roll-out.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from typing import Final, NamedTuple

import pytest

from sidecar.deliver.pace import Pace
from sidecar.deliver.retry import Backoff, Failure

FLUSH_SECONDS: Final = 60.0
RETRY_MAX_SECONDS: Final = 20.0


class Outcome(NamedTuple):
    """What became of the fleet's requests, by the minute in which they were due."""

    tries: list[float]  # a request, of those due in a minute
    delays: list[list[float]]  # seconds from the flush to the success, sorted
    left: int  # requests that never succeeded


def fleet(sidecars: int, requests: int, load: float, minutes: int, seed: int = 1) -> Outcome:
    """Simulate `sidecars` that flush so many requests a minute each, at a share `load` of the quota."""
    uniform = random.Random(seed).uniform
    quota = sidecars * requests / FLUSH_SECONDS / load
    tokens = quota
    paces = [Pace(RETRY_MAX_SECONDS, uniform) for _ in range(sidecars)]
    backoffs = [Backoff(0.2, RETRY_MAX_SECONDS, uniform) for _ in range(sidecars)]
    queues: list[list[float]] = [[] for _ in range(sidecars)]  # when each waiting request was flushed, latest first
    tries, delays = Counter[int](), [list[float]() for _ in range(minutes)]
    # (when, sidecar, minute of the flush, or -1 for a request)
    events = [(pace.phase(FLUSH_SECONDS, 0.0), number, 0) for number, pace in enumerate(paces)]
    heapq.heapify(events)
    seen = 0.0
    while events:
        now, number, minute = heapq.heappop(events)
        pace, queue = paces[number], queues[number]
        if minute >= 0:
            pace.flushed(requests, FLUSH_SECONDS)
            idle = not queue
            queue[:0] = [now] * requests
            if minute + 1 < minutes:
                boundary = (minute + 1) * FLUSH_SECONDS
                # The phase of the next flush is asked for at its boundary.
                heapq.heappush(events, (boundary, number, -minute - 2))
            if idle:
                heapq.heappush(events, (now + pace.pause(now), number, -1))
            continue
        if minute < -1:
            heapq.heappush(events, (now + pace.phase(FLUSH_SECONDS, now), number, -minute - 1))
            continue
        pause = pace.pause(now)
        if pause > 1e-9:
            heapq.heappush(events, (now + pause, number, -1))
            continue
        pace.begin(now)
        tokens, seen = min(quota, tokens + (now - seen) * quota), now
        due = int(queue[-1] // FLUSH_SECONDS)
        tries[due] += 1
        again = now
        if tokens >= 1.0:
            tokens -= 1.0
            delays[due].append(now - queue.pop())
            backoffs[number].reset("metrics")
        else:
            pace.throttled(now, now, first_attempt=not backoffs[number].failures("metrics"))
            again += backoffs[number].after("metrics", Failure.THROTTLE, None)
        if queue:
            heapq.heappush(events, (again + pace.pause(again), number, -1))
    made = [len(minute) for minute in delays]
    return Outcome(
        [tries[minute] / max(1, count) for minute, count in enumerate(made)],
        [sorted(minute) for minute in delays],
        sidecars * requests * minutes - sum(made),
    )


@pytest.mark.parametrize(
    ("sidecars", "requests", "load", "tries", "p99_seconds"),
    [(20_000, 1, 0.9, 1.1, 10.0), (500, 10, 0.9, 1.1, 20.0), (5_000, 1, 1.0, None, 60.0)],
)
def test_a_fleet_spreads_by_itself_within_five_minutes(
    sidecars: int, requests: int, load: float, tries: float | None, p99_seconds: float
) -> None:
    began = time.process_time()
    outcome = fleet(sidecars, requests, load, minutes=6)
    delays = outcome.delays[5]
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]

    print(
        f"{sidecars} x {requests} at {load}: tries a request {[round(one, 2) for one in outcome.tries]}, "
        f"delay p50 {p50:.1f} s, p99 {p99:.1f} s; {time.process_time() - began:.1f} s of CPU"
    )
    assert outcome.left == 0
    assert tries is None or outcome.tries[5] < tries
    assert p99 < p99_seconds
