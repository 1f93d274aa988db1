"""When one process flushes and how fast it sends, so that a fleet shares an account's quota. Pure: no clock, no loop.

The processes of a fleet do not know of each other. The only shared signal is that the service throttles requests, and
both halves of the answer are here: a throttle lowers the rate of what is sent now, and spreads later flushes wider.

Source of the figures: an event-driven simulation, `tests/deliver/test_fleet.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

MIN_RATE: Final = 0.5  # requests per second an operation is never slowed below; botocore's adaptive mode has the same
DOUBLING_SECONDS: Final = 5.0  # after a throttle, until the rate has doubled; the next doublings come ever faster
RECOVERY_SECONDS: Final = 30.0  # after a throttle, until the limit is lifted: it has grown by 2^36

PHASE_SECONDS: Final = 20.0  # range of the flush phase before the first throttle; wider costs freshness
MEMORY_SECONDS: Final = 3_600.0  # for how long at least a widened range is remembered
MAX_DOUBLINGS: Final = 12  # of the range: 20 s * 2^12 is longer than any interval between flushes

SPACING_SECONDS: Final = 0.1  # between two requests of one flush
WIDE_SPACING_SECONDS: Final = 1.0  # the same once a flush was throttled
SPACING_SHARE: Final = 0.5  # of the interval between flushes that all requests of one flush may take at most


class Pace:
    """The flush phase of a process and the request rate of one operation.

    Rate: unlimited until the service throttles. A throttle halves it: what was allowed, or what was sent in the last
    second where that was less. From then on it rises with the time since the last throttle, by 2^((t/5 s)^2): twice
    after 5 s, 16 times after 10 s, unlimited after 30 s. Recovery by time and not by success is what ends a slow
    period soon: at a low rate there are few successes to count.

    Phase: a share, drawn at random, of a range of 20 s. When the first attempt of a request is throttled, the flushes
    of the fleet are too dense: the range is doubled, up to the interval between flushes, and the share drawn again.
    This is remembered for an hour; up to half an hour more, at random, so that a fleet does not forget all at once.

    All times are monotonic seconds, handed in by the caller.
    """

    def __init__(self, max_pause_seconds: float, uniform: Callable[[float, float], float]) -> None:
        """Start without a limit.

        Args:
            max_pause_seconds: the longest time between two requests that throttles may lead to.
            uniform: the source of randomness, such as `random.uniform`.
        """
        self._uniform = uniform
        self._min_rate = max(MIN_RATE, 1.0 / max_pause_seconds) if max_pause_seconds > 0.0 else float("inf")
        # Rate:
        self._reduced = 0.0  # requests per second right after the last throttle
        self._throttled_at: float | None = None
        self._begun_at = float("-inf")
        self._second = -1  # the second that `_in_second` counts
        self._in_second = 0  # requests begun
        self._in_second_before = 0
        # Spacing of one flush:
        self._spaced = 0  # requests of it that are still to begin
        self._spacing = 0.0
        # Phase:
        self._share = uniform(0.0, 1.0)
        self._doublings = 0
        self._forget_at = 0.0
        self._redrawn = False  # since the last flush

    # --- rate --------------------------------------------------------------------------------------------

    def limit(self, now: float) -> float | None:
        """Requests per second that are allowed now, or None where there is no limit."""
        if self._throttled_at is None:
            return None
        since = now - self._throttled_at
        if since >= RECOVERY_SECONDS:
            return None
        return self._reduced * math.exp2((since / DOUBLING_SECONDS) ** 2)

    def pause(self, now: float) -> float:
        """Seconds until the next request may begin; ask again after that time, since the rate may have changed."""
        limit = self.limit(now)
        gap = 0.0 if limit is None else 1.0 / limit
        if self._spaced:
            gap = max(gap, self._spacing)
        return max(0.0, self._begun_at + gap - now)

    def begin(self, now: float) -> None:
        """A request begins."""
        self._begun_at = now
        if self._spaced:
            self._spaced -= 1
        second = int(now)
        if second != self._second:
            self._in_second_before = self._in_second if second == self._second + 1 else 0
            self._second, self._in_second = second, 0
        self._in_second += 1

    def throttled(self, now: float, begun_at: float, *, first_attempt: bool) -> None:
        """The service throttled a request.

        Args:
            now: when it said so.
            begun_at: when the request began. Several that were under way at the same time count once.
            first_attempt: the request had not failed before: what was too dense is the flush, not the retries.
        """
        if first_attempt:
            self._widen(now)
        if self._throttled_at is not None and begun_at < self._throttled_at:
            return
        recent = max(self._in_second, self._in_second_before) if int(now) - self._second <= 1 else 1
        allowed = self.limit(now)
        rate = recent if allowed is None else min(allowed, recent)
        self._reduced = max(self._min_rate, rate / 2.0)
        self._throttled_at = now

    # --- flushes -----------------------------------------------------------------------------------------

    def phase(self, flush_seconds: float, now: float) -> float:
        """Seconds after the boundary of an interval of `flush_seconds` at which to flush; below `flush_seconds`."""
        if now >= self._forget_at:
            self._doublings = 0
        return self._share * min(PHASE_SECONDS * (1 << self._doublings), flush_seconds)

    def flushed(self, requests: int, flush_seconds: float) -> None:
        """A flush queued so many requests: they are spaced, over at most half of `flush_seconds`."""
        self._redrawn = False
        if requests > 1:
            spacing = WIDE_SPACING_SECONDS if self._doublings else SPACING_SECONDS
            self._spaced = requests
            self._spacing = min(spacing, SPACING_SHARE * flush_seconds / requests)

    def _widen(self, now: float) -> None:
        """Double the range of the phase and draw anew, once a flush."""
        self._forget_at = now + self._uniform(MEMORY_SECONDS, 1.5 * MEMORY_SECONDS)
        if self._redrawn:
            return
        self._redrawn = True
        self._doublings = min(self._doublings + 1, MAX_DOUBLINGS)
        self._share = self._uniform(0.0, 1.0)
