"""How many series were sent in each clock hour: CloudWatch bills a metric for every hour in which it got data. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.model.limits import FUTURE_SECONDS

# A clock that is set back by so much counts no hour again: CloudWatch accepted datums so far ahead, and bills their hours.
BACK_HOURS: Final = int(FUTURE_SECONDS // 3_600)
HOURS: Final = 24  # over which series are averaged: a day, since traffic differs by time of day


class Hour(NamedTuple):
    """The series sent in one clock hour.

    Attributes:
        shared: series that other sidecars may send as well: billed once however many do.
        instance: series that name this instance.
    """

    shared: int = 0
    instance: int = 0

    @property
    def series(self) -> int:
        """All of them."""
        return self.shared + self.instance


class Average(NamedTuple):
    """Series an hour, over some hours; attributes as of `Hour`."""

    shared: float
    instance: float


@dataclass(slots=True)
class MetricLevel:
    """The series of one metric sent in a clock hour, `hour` since the epoch, and in the hour before."""

    hour: int = 0
    sent: int = 0
    before: int = 0

    def count(self, hour: int) -> None:
        """Count a series that is sent for the first time in this hour."""
        if hour != self.hour:
            self.before = self.sent if hour == self.hour + 1 else 0
            self.hour, self.sent = hour, 0
        self.sent += 1

    def at(self, hour: int) -> int:
        """The series an hour: of this hour so far or of the one before, whichever is more."""
        if hour == self.hour:
            return max(self.sent, self.before)
        return self.sent if hour == self.hour + 1 else 0


class MetricHours:
    """The series sent in this clock hour, and in those of the last day.

    Attributes:
        total: metric-hours since the process started.
    """

    def __init__(self) -> None:
        """Start without an hour."""
        self.total = 0
        self._hour: int | None = None  # since the epoch
        self._current = Hour()
        self._first: Hour | None = None  # the hour in which the process started: only a part of one
        self._finished: deque[Hour] = deque(maxlen=HOURS)

    def count(self, hour: int, *, instance: bool) -> None:
        """Count a series that is sent for the first time in this hour, as `begin` returned it."""
        self.begin(hour)
        shared, own = self._current
        self._current = Hour(shared + (not instance), own + instance)
        self.total += 1

    def begin(self, hour: int) -> int:
        """Note the present hour (since the epoch): those before it are finished, also those in which nothing was sent.

        Returns:
            The hour to count in: the present one, or after a clock was set back by at most `BACK_HOURS` the latest, since
            series were counted in the hours between before.
        """
        if self._hour is None:
            self._hour = hour
        if self._hour - BACK_HOURS <= hour <= self._hour:
            return self._hour
        if self._first is None:
            self._first = self._current
        else:
            self._finished.append(self._current)
        # A clock that was set back further gives a negative number of hours between.
        self._finished.extend([Hour()] * min(HOURS, max(0, hour - self._hour - 1)))
        self._hour, self._current = hour, Hour()
        return hour

    @property
    def hours(self) -> int:
        """How many hours are finished, at most `HOURS`, without that in which the process started."""
        return len(self._finished)

    def level(self) -> Average:
        """Series an hour at present: of this hour so far, or of the one before if there were more."""
        before = self._finished[-1] if self._finished else self._first or Hour()
        return Average(*max(self._current, before, key=lambda hour: hour.series))

    def average(self) -> Average:
        """Series an hour over the finished hours.

        With this hour if it raises the average, since it is not over; before one whole hour is finished, `level`.
        """
        finished = list(self._finished)
        if not finished:
            return self.level()
        if self._current.series * len(finished) > sum([hour.series for hour in finished]):
            finished.append(self._current)
        return Average(
            sum([hour.shared for hour in finished]) / len(finished),
            sum([hour.instance for hour in finished]) / len(finished),
        )
