"""Sample count, sum, minimum and maximum: what CloudWatch calls a statistic set. Pure."""

from __future__ import annotations

from array import array
from math import inf
from typing import ClassVar

from sidecar.aggregate.state import State
from sidecar.aggregate.tally import Tally
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Measurement, Statistics


class StatisticSet:
    """The statistics of one series in one window; one entry of the tally."""

    form: ClassVar[str] = "statistics"

    __slots__ = ("_saved", "_tally", "count", "maximum", "minimum", "samples", "sum", "until")

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty.

        Args:
            until: wall seconds; the end of the window.
            tally: what all open accumulators are counted in.
        """
        self.until = until
        self._tally = tally
        tally.entries += 1
        self.samples = 0
        self._saved = 0  # samples the last checkpoint had
        self.count = 0.0
        self.sum = 0.0
        self.minimum = inf
        self.maximum = -inf

    def add(self, value: float, weight: float) -> None:
        """Add one sample that stands for `weight` measurements."""
        self.samples += 1
        self.count += weight
        self.sum += value * weight
        # Plain comparisons: two calls of min() and max() would take a third of a line's time.
        if value < self.minimum:  # noqa: PLR1730
            self.minimum = value
        if value > self.maximum:  # noqa: PLR1730
            self.maximum = value

    def check_range(self, count: float, total: float, scale: float = 1.0) -> None:
        """Check that so much may be added, and the sum multiplied by `scale` then: one datum out of range would take the whole window with it.

        `add` does not check: it is for values so small that they cannot lead there (`PLAIN_MAGNITUDE`), or for those
        that were checked.

        Raises:
            DecodeError: `value_out_of_range`: the sum or the count would leave what CloudWatch takes.
        """
        for what, reached in (("sum", (self.sum + total) * scale), ("sample count", self.count + count)):
            if not -VALUE_MAGNITUDE <= reached <= VALUE_MAGNITUDE:
                detail = f"the {what} of the window would be {reached:g}, outside -2^360..2^360"
                raise DecodeError(Reason.VALUE_OUT_OF_RANGE, detail)

    def merge(self, statistics: Statistics) -> None:
        """Add a statistic set received as such; one sample of the ledger."""
        self.samples += 1
        self.count += statistics.sample_count
        self.sum += statistics.sum
        self.minimum = min(self.minimum, statistics.minimum)
        self.maximum = max(self.maximum, statistics.maximum)

    def unsaved(self, *, full: bool) -> State | None:
        """The whole state, where it changed since the last call or `full` asks for it."""
        if not self.samples or (self.samples == self._saved and not full):
            return None
        self._saved = self.samples
        return State(self.samples, numbers=array("d", (self.count, self.sum, self.minimum, self.maximum)))

    def restore(self, state: State) -> None:
        """Add a state that a checkpoint stored."""
        self.merge(Statistics(*state.numbers))
        self.samples += state.samples - 1

    def take(self) -> Measurement | None:
        """Empty the set, for good; None where it has nothing."""
        self.until = 0.0
        samples, self.samples = self.samples, 0
        self._tally.entries -= 1
        self._tally.samples -= samples
        if not samples:
            return None
        return Measurement(samples, Statistics(self.count, self.sum, self.minimum, self.maximum))


class Level:
    """The value a gauge was last set to; outlives windows.

    Attributes:
        value: the last one.
        saved: what the last checkpoint had, or None.
        relative: it began with a signed line, from zero: what an earlier process reached is still to be added.
    """

    __slots__ = ("relative", "saved", "value")

    def __init__(self) -> None:
        """Start from zero, as etsy's StatsD does."""
        self.value = 0.0
        self.saved: float | None = None
        self.relative = False


class Gauge(StatisticSet):
    """A statistic set of a gauge's values, which remembers the last one for signed lines."""

    form: ClassVar[str] = "gauge"

    __slots__ = ("level",)

    def __init__(self, until: float, tally: Tally, level: Level) -> None:
        """Start empty, on the level the series has reached."""
        super().__init__(until, tally)
        self.level = level

    def add(self, value: float, weight: float) -> None:
        """Set the gauge: one sample of that value."""
        # The body of StatisticSet.add once more: calling it would add a tenth to a line's time.
        self.level.value = value
        self.samples += 1
        self.count += weight
        self.sum += value * weight
        if value < self.minimum:  # noqa: PLR1730
            self.minimum = value
        if value > self.maximum:  # noqa: PLR1730
            self.maximum = value

    def change(self, delta: float) -> float:
        """Where the gauge stands once it is moved, which is to be added as a sample.

        Raises:
            DecodeError: `value_out_of_range`: beyond what CloudWatch takes; the gauge stays where it is.
        """
        moved = self.level.value + delta
        if not -VALUE_MAGNITUDE <= moved <= VALUE_MAGNITUDE:
            raise DecodeError(Reason.VALUE_OUT_OF_RANGE, f"the gauge would move to {moved:g}, outside -2^360..2^360")
        return moved
