"""A cap on the number of series and on their bytes, with totals that stay right. Pure.

CloudWatch bills a series for every hour in which it got a sample. Beyond `max_series` distinct series in the
last hour, or beyond the bytes they may take, a new combination is folded: the dimension of its metric with the most
values becomes `__other__`, so that the metric's total over all series is still the sum of what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import MIN_SERIES_BYTES, SERIES_BYTES
from sidecar.model.samples import Series

OTHER: Final = "__other__"
IDLE_SECONDS: Final = 3_600.0
CHOICE_SECONDS: Final = 60.0  # how long the choice of a metric's exploding dimension holds
# Folded series come on top of the cap, so that they always find a place: up to this many times the cap in all.
FOLDED_SHARE: Final = 0.25
FORGOTTEN_AT_ONCE: Final = 64  # idle series that one new series makes room for: some 0.1 ms
EXAMINED: Final = 2_048  # dimension values looked at to find the one that explodes: some 0.2 ms


@dataclass(slots=True)
class _Known:
    """One series of the last hour.

    Attributes:
        series: the one instance that everything else refers to.
        seen: monotonic seconds of its last sample.
        memory_bytes: what it takes.
        room: what it is counted in.
    """

    series: Series
    seen: float
    memory_bytes: int
    room: _Room


@dataclass(slots=True)
class _Room:
    """How many series there may be, and how many there are."""

    most: int
    most_bytes: int
    count: int = 0
    memory_bytes: int = 0

    def has(self, size: int, share: float = 1.0) -> bool:
        """Whether a share of it has a place for one more series of this many bytes."""
        return self.count < int(self.most * share) and self.memory_bytes + size <= self.most_bytes * share


class Cardinality:
    """The series of the last hour."""

    def __init__(self, max_series: int) -> None:
        """Start with none; `max_series` may be seen in an hour before new ones are folded."""
        most_bytes = max(MIN_SERIES_BYTES, max_series * SERIES_BYTES)
        self._own = _Room(max_series, most_bytes)
        self._folded = _Room(max(2, int(max_series * FOLDED_SHARE)), int(most_bytes * FOLDED_SHARE))
        self._known: dict[Series, _Known] = {}  # the least recently seen first
        self._of_metric: dict[tuple[str, str], set[Series]] = {}  # the same by namespace and name
        self._idle_from = float("-inf")  # monotonic seconds before which none can have been idle for an hour
        self._exploding: dict[tuple[str, str], str] = {}  # {(namespace, name): dimension}
        self._chosen = float("-inf")  # when the first of these was

    def __len__(self) -> int:
        """How many series are known."""
        return len(self._known)

    @property
    def memory_bytes(self) -> int:
        """What the known series take, about."""
        return self._own.memory_bytes + self._folded.memory_bytes

    def admit(self, series: Series, now: float) -> Series:
        """The series to aggregate a sample in: its own, or a folded one.

        Args:
            series: what the sample asks for.
            now: monotonic seconds.

        Returns:
            The instance that is known, which may be another than the one asked for though they are equal.

        Raises:
            DecodeError: `too_many_series`: not even folding makes room, since the names themselves explode.
        """
        known = self._seen(series, now)
        if known is not None:
            return known.series
        self._forget_idle(now)
        size = series.memory_bytes
        if self._own.has(size):
            return self._add(series, size, now, self._own)
        # Half of the places for folded series are kept for those without any dimension's value: one a metric.
        for folded, share in zip(self._foldings(series, now), (0.5, 1.0), strict=False):
            known = self._seen(folded, now)
            if known is not None:
                return known.series
            size = folded.memory_bytes
            if self._folded.has(size, share):
                return self._add(folded, size, now, self._folded)
        detail = (
            f"{len(self._known)} series of {self.memory_bytes} bytes in the last hour, metrics.max_series is"
            f" {self._own.most}, for {self._own.most_bytes} bytes"
        )
        raise DecodeError(Reason.TOO_MANY_SERIES, detail)

    def refresh(self, series: Series, now: float) -> bool:
        """Note another sample of a series; False where it is not known, or not any longer."""
        return self._seen(series, now) is not None

    def _seen(self, series: Series, now: float) -> _Known | None:
        known = self._known.pop(series, None)
        if known is not None:
            known.seen = now
            self._known[known.series] = known
        return known

    def _add(self, series: Series, size: int, now: float, room: _Room) -> Series:
        room.count += 1
        room.memory_bytes += size
        self._known[series] = _Known(series, now, size, room)
        self._of_metric.setdefault((series.namespace, series.name), set()).add(series)
        return series

    def _forget_idle(self, now: float) -> None:
        """Forget some of what was idle for an hour."""
        if now < self._idle_from:
            return
        idle: list[_Known] = []
        self._idle_from = now + IDLE_SECONDS
        for known in islice(self._known.values(), FORGOTTEN_AT_ONCE):
            if known.seen + IDLE_SECONDS > now:
                self._idle_from = known.seen + IDLE_SECONDS
                break
            idle.append(known)
        else:
            if idle:
                self._idle_from = now  # there may be more
        for known in idle:
            series = known.series
            del self._known[series]
            known.room.count -= 1
            known.room.memory_bytes -= known.memory_bytes
            metric = (series.namespace, series.name)
            of_metric = self._of_metric[metric]
            of_metric.discard(series)
            if not of_metric:
                del self._of_metric[metric]
                self._exploding.pop(metric, None)

    def _foldings(self, series: Series, now: float) -> list[Series]:
        """What a series may be folded into: without its exploding dimension, then without any."""
        if not series.dimensions:
            return []
        if now - self._chosen >= CHOICE_SECONDS:
            self._exploding.clear()
            self._chosen = now
        metric = (series.namespace, series.name)
        exploding = self._exploding.get(metric)
        if exploding is None or exploding not in dict(series.dimensions):
            exploding = self._most_values(series)
            if metric in self._of_metric:  # only known metrics: their number is bounded
                self._exploding[metric] = exploding
        once = tuple((name, OTHER if name == exploding else value) for name, value in series.dimensions)
        entirely = tuple((name, OTHER) for name, _ in series.dimensions)
        return [series._replace(dimensions=once), series._replace(dimensions=entirely)]

    def _most_values(self, series: Series) -> str:
        """The dimension with the most distinct values over the metric's known series, or over many of them."""
        values: dict[str, set[str]] = {name: {value} for name, value in series.dimensions}
        known = self._of_metric.get((series.namespace, series.name), ())
        # The order of a set is as good as any: of a metric with very many series these are a random few.
        for seen in islice(known, max(1, EXAMINED // len(series.dimensions))):
            for name, value in seen.dimensions:
                values.setdefault(name, set()).add(value)
        return max((name for name, _ in series.dimensions), key=lambda name: len(values[name]))
