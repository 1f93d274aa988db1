"""A cap on the number of series and on their bytes, with totals that stay right. Pure.

CloudWatch bills a series for every hour in which it got a sample. Beyond `max_series` distinct series in the
last hour, or beyond their limit in bytes, a new combination is folded: the dimension of its metric with the most
values becomes `__other__`, so that the metric's total over all series is still the sum of what was sent. The same
holds for one metric beyond the `max_series` of its rule. Rollups count as well; they are never folded themselves, but
follow the series that they add up, so that there are no more of them than of those for each set of dimensions.

At the budget of `metrics.budget` new combinations are folded in the same way, but nothing is refused because of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from sidecar.model.closing import rolled_up
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import MIN_SERIES_BYTES, SERIES_BYTES
from sidecar.model.samples import Form, Rollups, Series
from sidecar.shape.known import OF_INSTANCE, SENT_AS, Entry, Kind, Metric, Quota
from sidecar.shape.metric_hours import MetricHours

OTHER: Final = "__other__"
IDLE_SECONDS: Final = 3_600.0
CHOICE_SECONDS: Final = 60.0  # until the exploding dimension of a metric is chosen again
FOLDED_SHARE: Final = 0.25  # of the cap: so many folded series may come on top of it
FEW: Final = 10  # folded series that a metric may have however small the cap of its rule is
BUDGET_SHARE: Final = 0.05  # of the series that a budget pays for: so many folded other than entirely may come on top
FORGOTTEN_AT_ONCE: Final = 64  # idle series removed when one is added: about 0.1 ms
EXAMINED: Final = 2_048  # dimension values counted to find the dimension with the most: about 0.2 ms


class Cardinality:
    """The series of the last hour.

    Attributes:
        hours: how many series were sent in each clock hour.
        instance: values of dimensions that name this instance, such as the host name.
        budget_series: how many series, those of this instance once for each replica, may be known before new ones are
            folded; None for no limit.
    """

    def __init__(self, max_series: int, *, instance: Collection[str] = (), replicas: int = 1) -> None:
        """Start with none.

        Args:
            max_series: may be seen in an hour before new ones are folded.
            instance: the first value of the attribute.
            replicas: how many sidecars send the same series, except those that name their instance.
        """
        self.hours = MetricHours()
        self.budget_series: float | None = None
        self.instance = frozenset(instance)
        self._replicas = replicas
        self._of_instance = 0  # series that name this instance
        max_bytes = max(MIN_SERIES_BYTES, max_series * SERIES_BYTES)
        self._own = Quota(max_series, max_bytes)
        self._folded = Quota(max(2, int(max_series * FOLDED_SHARE)), int(max_bytes * FOLDED_SHARE))
        self._entries: dict[Series, Entry] = {}  # the least recently seen first
        self._of_metric: dict[tuple[str, str], Metric] = {}  # the same by namespace and name
        self._idle_from = float("-inf")  # monotonic seconds; before that none can have been idle for an hour
        self._exploding: dict[tuple[str, str], str] = {}  # {(namespace, name): dimension}
        self._chosen = float("-inf")  # monotonic seconds when the first of these was chosen

    def __len__(self) -> int:
        """How many series there were in the last hour, folded ones and rollups included."""
        return len(self._entries)

    @property
    def memory_bytes(self) -> int:
        """Their approximate size in memory."""
        return self._own.memory_bytes + self._folded.memory_bytes

    @property
    def over_budget(self) -> bool:
        """True if the budget allows no further series."""
        return self.budget_series is not None and (
            len(self._entries) + (self._replicas - 1) * self._of_instance >= self.budget_series
        )

    def admit(self, series: Series, now: float, *, max_series: int | None = None, rollups: Rollups = ()) -> Series:
        """The series to aggregate a sample in: its own, or a folded one.

        Args:
            series: what the sample asks for.
            now: monotonic seconds.
            max_series: of its metric; None for no limit but that of all metrics.
            rollups: the sets of dimensions over which the series is added up.

        Returns:
            The instance stored here, which may be another than the one asked for though they are equal.

        Raises:
            DecodeError: `too_many_series`: even folded series are at their limit, since there are too many metric names.
        """
        entry = self._seen(series, now) or self._admit(series, now, max_series, rollups)
        if rollups or entry.rollups:
            self._roll_up(entry, rollups, now)
        return entry.series

    def _admit(self, series: Series, now: float, max_series: int | None, rollups: Rollups) -> Entry:
        self._forget_idle(now)
        size = series.memory_bytes
        metric = self._of_metric.get((series.namespace, series.name)) or Metric()
        fits = self._own.fits(size) and (max_series is None or metric.own < max_series)
        over_budget = self.over_budget
        if fits and not over_budget:
            return self._add(series, size, now, "own")
        entirely = series._replace(dimensions=tuple((name, OTHER) for name, _ in series.dimensions))
        # A part of the quota of folded series is reserved for those with every dimension folded: one for each metric.
        for folded, share in zip(self._foldings(series, rollups, now), (0.5, 0.75, 1.0), strict=False):
            entry = self._seen(folded, now)
            if entry is not None:
                return entry
            size = folded.memory_bytes
            last = folded == entirely
            few = last or max_series is None or metric.folded < max(FEW, max_series * FOLDED_SHARE) * share
            if over_budget and not last:
                few = few and self._folded.count < max(FEW, BUDGET_SHARE * (self.budget_series or 0.0))
            if few and self._folded.fits(size, 1.0 if last else share):
                return self._add(folded, size, now, "folded entirely" if last else "folded")
        if fits:  # without dimensions, or too many are folded: nothing is refused because of a budget
            return self._add(series, size, now, "own")
        detail = (
            f"{len(self._entries)} series of {self.memory_bytes} bytes in the last hour, metrics.max_series is"
            f" {self._own.max_count}, for {self._own.max_bytes} bytes"
        )
        if max_series is not None:
            detail += f", that of {series.name!r} is {max_series}"
        raise DecodeError(Reason.TOO_MANY_SERIES, detail)

    def refresh(self, series: Series, now: float) -> bool:
        """Note another sample of a series at `now` (monotonic seconds); False if it is not among those of the last hour."""
        entry = self._seen(series, now)
        if entry is None:
            return False
        for rollup in entry.rollups:
            self._note(rollup, now)
        return True

    def sent(self, series: Series, form: Form, hour: int, now: float) -> bool:
        """Note that a datum of a series is sent; called for each datum of a flush.

        Args:
            series: may be unknown, if its window was restored from an earlier process.
            form: what the datum has.
            hour: the clock hour, hours since the epoch.
            now: monotonic seconds.

        Returns:
            True if it was not sent in this form before, as long as it has been among the series of the last hour.
        """
        entry = self._entries.get(series) or self._add(series, series.memory_bytes, now, "rollup")
        first = not entry.flags & SENT_AS[form]
        if entry.hour == hour and not first:
            return False
        entry.flags |= SENT_AS[form]
        hour = self.hours.begin(hour)
        if entry.hour != hour:
            self._count(entry, hour)
        return first

    def _count(self, entry: Entry, hour: int) -> None:
        """Count a series that is sent for the first time in this hour."""
        entry.hour = hour
        series = entry.series
        metric = self._of_metric[series.namespace, series.name]
        for unit, resolution in metric.variants if len(metric.variants) > 1 else ():
            other = self._entries.get(series._replace(unit=unit, resolution=resolution))
            if other is not None and other is not entry and other.hour == hour:
                return  # one metric on the bill
        metric.level.count(hour)
        self.hours.count(hour, instance=entry.flags & OF_INSTANCE > 0)

    def levels(self, hour: int) -> Iterator[tuple[tuple[str, str], int, int]]:
        """Of each metric: namespace and name, its series of the last hour, and how many were sent an hour.

        The list of metrics is that of the time of the call; `hour` is the clock hour, hours since the epoch.
        """
        hour = self.hours.begin(hour)
        for key, metric in list(self._of_metric.items()):
            yield key, len(metric), metric.level.at(hour)

    def series_of(self, namespace: str, name: str, most: int) -> list[Series]:
        """Series of a metric in the last hour, at most so many of them."""
        metric = self._of_metric.get((namespace, name))
        return [] if metric is None else list(islice(metric.series, most))

    def _seen(self, series: Series, now: float) -> Entry | None:
        entry = self._entries.pop(series, None)
        if entry is not None:
            entry.seen = now
            self._entries[entry.series] = entry
        return entry

    def _roll_up(self, entry: Entry, rollups: Rollups, now: float) -> None:
        """Note the rollups of a series, however many series there are."""
        wanted = tuple(rolled_up(entry.series, rollups))
        entry.rollups = tuple([self._note(rollup, now) for rollup in wanted])

    def _note(self, rollup: Series, now: float) -> Series:
        entry = self._seen(rollup, now) or self._add(rollup, rollup.memory_bytes, now, "rollup")
        return entry.series

    def _quota(self, kind: Kind) -> Quota:
        """The quota in which series of a kind are counted."""
        return self._own if kind in {"own", "rollup"} else self._folded

    def _add(self, series: Series, size: int, now: float, kind: Kind) -> Entry:
        quota = self._quota(kind)
        quota.count += 1
        quota.memory_bytes += size
        instance = not self.instance.isdisjoint([value for _, value in series.dimensions])
        entry = self._entries[series] = Entry(series, now, kind, OF_INSTANCE if instance else 0)
        self._of_instance += instance
        metric = self._of_metric.setdefault((series.namespace, series.name), Metric())
        metric.series.add(series)
        metric.own += kind == "own"
        metric.folded += kind == "folded"
        variant = (series.unit, series.resolution)
        if variant not in metric.variants:
            metric.variants += (variant,)
        return entry

    def _forget_idle(self, now: float) -> None:
        """Remove series that were idle for an hour, at most 64 of them."""
        if now < self._idle_from:
            return
        idle: list[Entry] = []
        self._idle_from = now + IDLE_SECONDS
        for entry in islice(self._entries.values(), FORGOTTEN_AT_ONCE):
            if entry.seen + IDLE_SECONDS > now:
                self._idle_from = entry.seen + IDLE_SECONDS
                break
            idle.append(entry)
        else:
            if idle:
                self._idle_from = now  # there may be more
        for entry in idle:
            series = entry.series
            del self._entries[series]
            quota = self._quota(entry.kind)
            quota.count -= 1
            quota.memory_bytes -= series.memory_bytes
            self._of_instance -= entry.flags & OF_INSTANCE > 0
            key = (series.namespace, series.name)
            metric = self._of_metric[key]
            metric.series.discard(series)
            metric.own -= entry.kind == "own"
            metric.folded -= entry.kind == "folded"
            if not metric.series:
                del self._of_metric[key]
                self._exploding.pop(key, None)

    def _foldings(self, series: Series, rollups: Rollups, now: float) -> list[Series]:
        """What a series may be folded into: with its exploding dimension folded, then with every dimension folded.

        Between the two, dimensions that rollups are made over are left as they are.
        """
        if not series.dimensions:
            return []
        if now - self._chosen >= CHOICE_SECONDS:
            self._exploding.clear()
            self._chosen = now
        key = (series.namespace, series.name)
        spared = {name for names in rollups for name in names}
        exploding = self._exploding.get(key)
        if exploding is None or exploding not in dict(series.dimensions):
            exploding = self._most_values(series, spared)
            if key in self._of_metric:  # only metrics with series: their number is bounded
                self._exploding[key] = exploding
        folded = [{exploding}, {name for name, _ in series.dimensions if name not in spared or name == exploding}]
        every = {name for name, _ in series.dimensions}
        return [
            series._replace(
                dimensions=tuple((name, OTHER if name in names else value) for name, value in series.dimensions)
            )
            for names in (*(folded if spared else folded[:1]), every)
        ]

    def _most_values(self, series: Series, spared: set[str]) -> str:
        """The dimension with the most distinct values, over the metric's series or a sample of them.

        One that rollups are made over is chosen only where there is no other.
        """
        values: dict[str, set[str]] = {name: {value} for name, value in series.dimensions}
        of_metric = self._of_metric.get((series.namespace, series.name), Metric()).series
        # Sets have no order: of a metric with very many series this is a random sample.
        for seen in islice(of_metric, max(1, EXAMINED // len(series.dimensions))):
            for name, value in seen.dimensions:
                values.setdefault(name, set()).add(value)
        names = [name for name, _ in series.dimensions if name not in spared]
        return max(names or list(dict(series.dimensions)), key=lambda name: len(values[name]))
