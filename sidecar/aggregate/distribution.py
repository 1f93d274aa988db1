"""Values with their weights: exact while few are distinct, then buckets of one percent. Pure.

Up to 150 distinct values are stored as they are (one datum's worth, `MetricDatum.Values`). Beyond, values fall
into logarithmic buckets of ratio 1.01, and each bucket is represented by the mean of what fell in: no value is
off by more than 1 % and the sum stays exact. The smallest and the largest value have entries of their own, so
minimum and maximum stay exact too. Zero has its own bucket and negatives mirror the positives.
"""

from __future__ import annotations

from array import array
from math import floor, inf, log, nextafter
from typing import ClassVar, Final

from sidecar.aggregate.state import State
from sidecar.aggregate.tally import Tally
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import PLAIN_MAGNITUDE, VALUE_MAGNITUDE, VALUES_PER_DATUM
from sidecar.model.samples import Measurement

RATIO: Final = 1.01
MAX_BUCKETS: Final = 2_048  # 2,048 buckets of 1 % span nine decades on their own
_PER_LOG: Final = 1.0 / log(RATIO)
# Bucket keys are integers: positives use k, negatives mirror them below this base. log(2^360) * _PER_LOG is
# 25,078 and the smallest double gives -74,815, so the two ranges cannot meet.
_NEGATIVE: Final = -1_000_000
_ZERO: Final = 1_000_000


class Distribution:
    """The values of one series in one window; each distinct value or bucket is one entry of the tally."""

    form: ClassVar[str] = "distribution"

    __slots__ = ("_buckets", "_extremes", "_huge", "_shift", "_tally", "_values", "samples", "until")

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty.

        Args:
            until: the end of the window in wall seconds.
            tally: the counts over all open accumulators.
        """
        self.until = until
        self._tally = tally
        self.samples = 0
        self._values: dict[float, float] = {}  # {value: weight}, not in a bucket
        self._extremes: dict[float, float] = {}  # {value: weight} of minimum and maximum, once there are buckets
        self._buckets: dict[int, list[float]] = {}  # {key: [weight, weighted sum]}
        self._shift = 0  # how often the widths have doubled
        self._huge = 0.0  # the sum of weights beyond what `add` may be given without a check

    def check_range(self, count: float, _total: float = 0.0, _scale: float = 1.0) -> None:
        """Check that so much may be added; nothing but counts can leave the range, since values are sent as they are.

        Raises:
            DecodeError: `value_out_of_range`: the count of a value or bucket might leave what CloudWatch takes.
        """
        if count > PLAIN_MAGNITUDE:
            if self._huge + count > VALUE_MAGNITUDE:
                detail = f"the counts of the window would be {self._huge + count:g}, above 2^360"
                raise DecodeError(Reason.VALUE_OUT_OF_RANGE, detail)
            self._huge += count

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

    def take(self) -> Measurement | None:
        """Empty the distribution for good; returns None if it holds nothing."""
        self.until = 0.0
        samples, self.samples = self.samples, 0
        if not samples:
            return None
        self._tally.samples -= samples
        if not self._buckets:
            # Most series: 8 us less than by way of pairs.
            held, self._values = self._values, {}
            self._tally.entries -= len(held)
            distinct = sorted(held)
            return Measurement(samples, values=tuple(distinct), counts=tuple([held[value] for value in distinct]))
        pairs = self.pairs()
        self._clear()
        values, counts = zip(*pairs, strict=True)
        return Measurement(samples, values=values, counts=counts)

    def pairs(self) -> list[tuple[float, float]]:
        """Value and weight of everything, ascending, values distinct; values move into buckets if there are any."""
        if not self._buckets:
            return sorted(self._values.items())
        if self._values:
            self._fold()
        # Rounding may put the mean of equal values a step past them: onto an extreme, which has its own entry.
        low, high = nextafter(min(self._extremes), inf), nextafter(max(self._extremes), -inf)
        pairs = [
            (mean if low <= (mean := total / weight) <= high else min(max(mean, low), high), weight)
            for weight, total in self._buckets.values()
        ]
        pairs.extend(self._extremes.items())
        pairs.sort()
        return pairs

    def _clear(self) -> None:
        self._tally.entries -= self._entries()
        self._values, self._extremes, self._buckets, self._shift = {}, {}, {}, 0

    def _entries(self) -> int:
        return len(self._values) + len(self._extremes) + len(self._buckets)

    def _fold(self) -> None:
        """Move values into buckets, except for the smallest and the largest."""
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
            bucket = self._buckets.setdefault(_twice_as_wide(key), [0.0, 0.0])
            bucket[0] += weight
            bucket[1] += total
        self._shift += 1
        self._tally.coarsened += 1


class CheckpointedDistribution(Distribution):
    """A distribution whose gains since the last checkpoint can be read, for a daemon with a spool.

    It holds what was added since the last checkpoint; what a checkpoint has is in a second distribution, which `take`
    gives out together with the rest. A value's bucket is the same in both, so the bounds of `Distribution` hold.
    """

    __slots__ = ("_checkpointed",)

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty; arguments as for `Distribution`."""
        super().__init__(until, tally)
        self._checkpointed = Distribution(until, tally)

    def unsaved(self, *, full: bool) -> State | None:
        """What was added since the last call, or everything if `full`; returns None if that is nothing.

        Everything counts as saved afterwards.
        """
        samples = self.samples
        gained = self.pairs()
        self._merge_into_checkpointed(gained)
        if full:
            samples, gained = self._checkpointed.samples, self._checkpointed.pairs()
        if not samples:
            return None
        values, weights = (array("d", [pair[column] for pair in gained]) for column in (0, 1))
        return State(samples, numbers=values + weights)

    def restore(self, state: State) -> None:
        """Add a state read from a checkpoint."""
        samples = self.samples + state.samples
        pairs = len(state.numbers) // 2
        for value, weight in zip(state.numbers[:pairs], state.numbers[pairs:], strict=True):
            self.add(value, weight)
        self.samples = samples

    def take(self) -> Measurement | None:
        """Empty the distribution for good; returns None if it holds nothing."""
        if not self._checkpointed.samples:
            return super().take()
        self.until = 0.0
        self._merge_into_checkpointed(self.pairs())
        return self._checkpointed.take()

    def _merge_into_checkpointed(self, gained: list[tuple[float, float]]) -> None:
        """Move everything over; `gained` is `pairs()`."""
        checkpointed = self._checkpointed
        samples = checkpointed.samples + self.samples
        self._clear()
        for value, weight in gained:
            checkpointed.add(value, weight)
        checkpointed.samples, self.samples = samples, 0


def _twice_as_wide(key: int) -> int:
    """The key, after widths doubled, of the bucket that holds this one."""
    if key == _ZERO:
        return key
    if key > _NEGATIVE // 2:
        return key >> 1
    return _NEGATIVE - ((_NEGATIVE - key) >> 1)
