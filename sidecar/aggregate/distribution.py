"""Values with their weights: exact while few are distinct, then buckets of one percent. Pure.

Up to 150 distinct values are kept as they are (one datum's worth, `MetricDatum.Values`). Beyond, values fall
into logarithmic buckets of ratio 1.01, and each bucket is represented by the mean of what fell in: no value is
off by more than 1 % and the sum stays exact. The smallest and the largest value keep entries of their own, so
minimum and maximum stay exact too. Zero has its own bucket and negatives mirror the positives.
"""

from __future__ import annotations

from array import array
from math import floor, inf, log, nextafter
from typing import Final

from sidecar.aggregate.state import State, no_numbers
from sidecar.aggregate.tally import Tally
from sidecar.errors import DecodeError, Reason
from sidecar.limits import PLAIN_MAGNITUDE, VALUE_MAGNITUDE, VALUES_PER_DATUM
from sidecar.model import Measurement

RATIO: Final = 1.01
MAX_BUCKETS: Final = 2_048  # 2,048 buckets of 1 % span nine decades on their own
MOST_UNSAVED: Final = 10_000  # values folded since a checkpoint: 160 kB of a series at its busiest
_PER_LOG: Final = 1.0 / log(RATIO)
# Bucket keys are integers: positives use k, negatives mirror them below this base. log(2^360) * _PER_LOG is
# 25,078 and the smallest double gives -74,815, so the two ranges cannot meet.
_NEGATIVE: Final = -1_000_000
_ZERO: Final = 1_000_000


class Distribution:
    """The values of one series in one window; one entry of the tally a distinct value or bucket."""

    __slots__ = (
        *("_buckets", "_extremes", "_huge", "_kept", "_saved", "_shift", "_tally", "_track", "_unsaved", "_values"),
        *("samples", "until"),
    )

    def __init__(self, until: float, tally: Tally, *, track: bool = False) -> None:
        """Start empty.

        Args:
            until: the end of the window in wall seconds.
            tally: what all open accumulators are counted in.
            track: remember what is new since the last checkpoint.
        """
        self.until = until
        self._tally = tally
        self._track = track
        self.samples = 0
        self._values: dict[float, float] = {}  # {value: weight}, not folded and not saved
        self._kept: dict[float, float] = {}  # the same, saved
        self._extremes: dict[float, float] = {}  # {value: weight} of minimum and maximum, once folded
        self._buckets: dict[int, list[float]] = {}  # {key: [weight, weighted sum]}
        self._shift = 0  # how often the widths have doubled
        self._huge = 0.0  # the sum of weights beyond what `add` may be given without a check
        self._saved = 0  # samples the last checkpoint had
        self._unsaved: tuple[array[float], array[float]] | None = None  # values and weights folded since

    def check_range(self, count: float, _total: float = 0.0) -> None:
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

    def unsaved(self, *, full: bool) -> State | None:
        """What was added since the last call, or everything where `full` asks for it; in any case saved now."""
        samples = self.samples - (0 if full else self._saved)
        if not samples:
            return None
        if full:
            pairs = self._pairs()
            values, weights = (array("d", [pair[column] for pair in pairs]) for column in (0, 1))
        else:
            values, weights = self._unsaved or (no_numbers(), no_numbers())
            values.extend(self._values)
            weights.extend(self._values.values())
        self._saved, self._unsaved = self.samples, None
        before = self._entries()
        if not self._buckets:
            if self._kept:
                _pour_into(self._kept, self._values)
            else:
                self._kept = self._values
            self._values = {}
        self._tally.entries += self._entries() - before
        if self._buckets or len(self._kept) > VALUES_PER_DATUM:
            self._fold(saved=True)
        return State(samples, numbers=values + weights)

    def restore(self, state: State) -> None:
        """Add a state that a checkpoint kept."""
        samples = self.samples + state.samples
        pairs = len(state.numbers) // 2
        for value, weight in zip(state.numbers[:pairs], state.numbers[pairs:], strict=True):
            self.add(value, weight)
        self.samples = samples

    def merge(self, other: Distribution) -> None:
        """Add everything another distribution holds; the same, up to rounding, as adding its samples."""
        before = self._entries()
        self.samples += other.samples
        for held in (other._values, other._kept, other._extremes):
            _pour_into(self._values, held)
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
        self._tally.samples -= samples
        if not self._kept and not self._buckets and len(self._values) <= VALUES_PER_DATUM:
            # Most series: 8 us less than by way of pairs.
            held, self._values, self._unsaved = self._values, {}, None
            self._tally.entries -= len(held)
            distinct = sorted(held)
            return Measurement(samples, values=tuple(distinct), counts=tuple([held[value] for value in distinct]))
        if self._buckets or len(self._kept.keys() | self._values.keys()) > VALUES_PER_DATUM:
            self._fold()
        pairs = self._pairs()
        self._tally.entries -= self._entries()
        self._values, self._kept, self._extremes, self._buckets, self._shift = {}, {}, {}, {}, 0
        self._unsaved = None
        values, counts = zip(*pairs, strict=True)
        return Measurement(samples, values=values, counts=counts)

    def _pairs(self) -> list[tuple[float, float]]:
        """Value and weight of everything, ascending, values distinct; folds what is to be folded before."""
        if self._buckets and (self._values or self._kept):
            self._fold()
        held = dict(self._kept)
        _pour_into(held, self._values)
        _pour_into(held, self._extremes)
        # Rounding may put the mean of equal values a step past them: onto an extreme, which has its own entry.
        low, high = nextafter(min(self._extremes, default=0.0), inf), nextafter(max(self._extremes, default=0.0), -inf)
        pairs = [
            (mean if low <= (mean := total / weight) <= high else min(max(mean, low), high), weight)
            for weight, total in self._buckets.values()
        ]
        pairs.extend(held.items())
        pairs.sort()
        return pairs

    def _entries(self) -> int:
        return len(self._values) + len(self._kept) + len(self._extremes) + len(self._buckets)

    def _fold(self, *, saved: bool = False) -> None:
        """Move what is held as values into buckets, but for the smallest and the largest; `saved`: it was just kept."""
        before = self._entries()
        values = self._values
        if self._track and values and not saved:
            self._remember(values)
        _pour_into(values, self._kept)
        _pour_into(values, self._extremes)
        self._kept = {}
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

    def _remember(self, folded: dict[float, float]) -> None:
        """Keep what is folded for the next checkpoint, within bounds: very much becomes one, in buckets."""
        if self._unsaved is None:
            self._unsaved = (no_numbers(), no_numbers())
        values, weights = self._unsaved
        values.extend(folded)
        weights.extend(folded.values())
        if len(values) >= MOST_UNSAVED:
            gathered = Distribution(inf, Tally())
            for value, weight in zip(values, weights, strict=True):
                gathered.add(value, weight)
            pairs = gathered._pairs()
            self._unsaved = (array("d", [value for value, _ in pairs]), array("d", [weight for _, weight in pairs]))

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


def _pour_into(held: dict[float, float], more: dict[float, float]) -> None:
    for value, weight in more.items():
        held[value] = held.get(value, 0.0) + weight


def _coarser(key: int, shift: int) -> int:
    """The key of the bucket that holds this one after `shift` doublings."""
    if key == _ZERO:
        return key
    if key > _NEGATIVE // 2:
        return key >> shift
    return _NEGATIVE - ((_NEGATIVE - key) >> shift)
