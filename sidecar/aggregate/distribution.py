"""Values with their weights: exact while few are distinct, then buckets of one percent. Pure.

Up to 150 distinct values are kept as they are (one datum's worth, `MetricDatum.Values`). Beyond, values fall
into logarithmic buckets of ratio 1.01, and each bucket is represented by the mean of what fell in: no value is
off by more than 1 % and the sum stays exact. The smallest and the largest value keep entries of their own, so
minimum and maximum stay exact too. Zero has its own bucket and negatives mirror the positives.
"""

from __future__ import annotations

from math import floor, inf, log, nextafter
from typing import Final

from sidecar.aggregate.tally import Tally
from sidecar.limits import VALUES_PER_DATUM
from sidecar.model import Measurement

RATIO: Final = 1.01
MAX_BUCKETS: Final = 2_048  # 2,048 buckets of 1 % span nine decades on their own
_PER_LOG: Final = 1.0 / log(RATIO)
# Bucket keys are integers: positives use k, negatives mirror them below this base. log(2^360) * _PER_LOG is
# 25,078 and the smallest double gives -74,815, so the two ranges cannot meet.
_NEGATIVE: Final = -1_000_000
_ZERO: Final = 1_000_000


class Distribution:
    """The values of one series in one window; one entry of the tally a distinct value or bucket."""

    __slots__ = ("_buckets", "_extremes", "_shift", "_tally", "_values", "samples", "until")

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty; `until` is the end of the window in wall seconds."""
        self.until = until
        self._tally = tally
        self.samples = 0
        self._values: dict[float, float] = {}  # {value: weight}: everything, or what is not yet folded
        self._extremes: dict[float, float] = {}  # {value: weight} of minimum and maximum, once folded
        self._buckets: dict[int, list[float]] = {}  # {key: [weight, weighted sum]}
        self._shift = 0  # how often the widths have doubled

    def add(self, value: float, weight: float) -> None:
        """Add one sample that stands for `weight` measurements."""
        self.samples += 1
        values = self._values
        known = values.get(value)
        if known is not None:
            values[value] = known + weight
            return
        if len(values) >= VALUES_PER_DATUM:
            self._fold()
            values = self._values
        values[value] = weight
        self._tally.entries += 1

    def merge(self, other: Distribution) -> None:
        """Add everything another distribution holds; the same, up to rounding, as adding its samples."""
        before = self._entries()
        self.samples += other.samples
        for held in (other._values, other._extremes):
            for value, weight in held.items():
                self._values[value] = self._values.get(value, 0.0) + weight
        if other._buckets:
            while self._shift < other._shift:
                self._coarsen()
            for key, (weight, total) in other._buckets.items():
                self._pour(_coarser(key, self._shift - other._shift), weight, total)
        self._tally.entries += self._entries() - before
        if self._buckets or len(self._values) > VALUES_PER_DATUM:
            self._fold()

    def take(self) -> Measurement | None:
        """Empty the distribution, for good; None where it has nothing."""
        self.until = 0.0
        samples, self.samples = self.samples, 0
        if not samples:
            return None
        if self._buckets or self._extremes:
            self._fold()
        self._tally.entries -= self._entries()
        self._tally.samples -= samples
        # Rounding may put the mean of equal values a step past them: onto an extreme, which has its own entry.
        low, high = nextafter(min(self._extremes, default=0.0), inf), nextafter(max(self._extremes, default=0.0), -inf)
        pairs = [(min(max(total / weight, low), high), weight) for weight, total in self._buckets.values()]
        pairs.extend(self._values.items())
        pairs.extend(self._extremes.items())
        pairs.sort()
        self._values, self._extremes, self._buckets, self._shift = {}, {}, {}, 0
        values, counts = zip(*pairs, strict=True)
        return Measurement(samples, values=values, counts=counts)

    def _entries(self) -> int:
        return len(self._values) + len(self._extremes) + len(self._buckets)

    def _fold(self) -> None:
        """Move what is held as values into buckets, but for the smallest and the largest."""
        before = self._entries()
        values = self._values
        for value, weight in self._extremes.items():
            values[value] = values.get(value, 0.0) + weight
        # A displaced extreme falls into its bucket with the rest. No bucket can hold a value equal to the new
        # extremes: what is in a bucket has been strictly between extremes once.
        self._extremes = {value: values.pop(value) for value in {min(values), max(values)}}
        shift, buckets = self._shift, self._buckets
        for value, weight in values.items():
            if value > 0.0:
                key = floor(log(value) * _PER_LOG) >> shift
            elif value < 0.0:
                key = _NEGATIVE - (floor(log(-value) * _PER_LOG) >> shift)
            else:
                key = _ZERO
            bucket = buckets.get(key)
            if bucket is None:
                buckets[key] = [weight, value * weight]
            else:
                bucket[0] += weight
                bucket[1] += value * weight
        self._values = {}
        while len(self._buckets) > MAX_BUCKETS:
            self._coarsen()
        self._tally.entries += self._entries() - before

    def _coarsen(self) -> None:
        """Double the width of every bucket."""
        buckets, self._buckets = self._buckets, {}
        for key, (weight, total) in buckets.items():
            self._pour(_coarser(key, 1), weight, total)
        self._shift += 1
        self._tally.coarsened += 1

    def _pour(self, key: int, weight: float, total: float) -> None:
        bucket = self._buckets.setdefault(key, [0.0, 0.0])
        bucket[0] += weight
        bucket[1] += total


def _coarser(key: int, shift: int) -> int:
    """The key of the bucket that holds this one after `shift` doublings."""
    if key == _ZERO:
        return key
    if key > _NEGATIVE // 2:
        return key >> shift
    return _NEGATIVE - ((_NEGATIVE - key) >> shift)
