"""Shortcuts: bounded tables from the bytes of an event to the accumulator of its sample.

An application sends the same few metrics again and again, with other values and times. What they have in common is
decoded and shaped once; afterwards it is the key of an `Entry`:
- of a StatsD line, its name and tail (everything but its value);
- of a counter's line, mostly the same each time, also the whole line, which costs half of that;
- of a JSON metric, the document without its value and timestamp, encoded anew: 0.4 us against 12 us for decoding it.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any, ClassVar, Final, TypeAlias

import orjson

from sidecar.aggregate.members import Members
from sidecar.aggregate.tally import Tally
from sidecar.aggregate.window import Accumulator, Numeric, Windows
from sidecar.decode.fields import check_timestamp, read_timestamp
from sidecar.model.closing import PLAIN, Closing, Hits
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import PLAIN_MAGNITUDE
from sidecar.model.samples import Kind, Sample, Series
from sidecar.pipeline.observer import Observer
from sidecar.shape.shape import Shape

LINES_PER_SERIES: Final = 4  # entries for each of max_series: lines of a series differ in rate and in order of tags
BYTES_PER_SERIES: Final = 1_024  # of lines, for each of max_series
ENTRY_BYTES: Final = 350  # the size of an entry without the bytes of its line
LINE_BYTES: Final = 1_024  # longer lines have no entry
WHOLE_LINES: Final = 16_384
WHOLE_LINE_BYTES: Final = 256
KEY_BYTES: Final = 1_024  # JSON documents with a longer key have no entry


class Adjusted:
    """An accumulator of samples that are accepted with a change (cut, folded, repaired): counts each of them."""

    __slots__ = ("_accumulator", "_counts", "_kinds")

    def __init__(self, accumulator: Numeric, kinds: tuple[str, ...], counts: dict[str, int]) -> None:
        """Wrap an accumulator; for each sample one is added to `counts` under each of `kinds`."""
        self._accumulator = accumulator
        self._kinds = kinds
        self._counts = counts

    @property
    def until(self) -> float:
        """The end of the accumulator's window in wall seconds."""
        return self._accumulator.until

    def add(self, value: float, weight: float) -> None:
        """Add one sample."""
        for kind in self._kinds:
            self._counts[kind] += 1
        self._accumulator.add(value, weight)


class Discard:
    """In place of an accumulator, for samples that a rule drops: counts each of them.

    Attributes:
        until: the end of time: a rule holds until there are others.
    """

    __slots__ = ("_dropped", "_hits", "_tally")

    until: ClassVar[float] = inf

    def __init__(self, hits: tuple[Hits, ...], dropped: Counter[Reason], tally: Tally) -> None:
        """Count in `hits`, which are of the rules, and in `dropped`; take what a table's reader counts off `tally`."""
        self._hits = hits
        self._dropped = dropped
        self._tally = tally

    def add(self, _value: float, _weight: float) -> None:
        """Drop a sample that was found in a table: its reader counts it as one that is in a window."""
        self._tally.samples -= 1
        self.count(1)

    def count(self, samples: int) -> None:
        """Count samples as dropped."""
        self._dropped[Reason.RULE] += samples
        for hits in self._hits:
            hits.samples += samples


Target: TypeAlias = Numeric | Adjusted | Discard


class Entry:
    """What a table has for one key.

    Attributes:
        accumulator: accepts samples until the wall clock reaches its `until`.
        closing: of the accumulator's window.
        weight: of each sample: 1/rate.
        series: the accumulator's.
        start: of the accumulator's window, wall seconds.
    """

    __slots__ = ("accumulator", "closing", "series", "start", "weight")

    def __init__(self, accumulator: Target, weight: float, series: Series, closing: Closing = PLAIN) -> None:
        """Point to an accumulator of this series and closing."""
        self.weight = weight
        self.closing = closing
        self.point_to(accumulator, series)

    def point_to(self, accumulator: Target, series: Series) -> None:
        """Point to another accumulator."""
        self.accumulator = accumulator
        self.series = series
        self.start = -inf if isinstance(accumulator, Discard) else accumulator.until - series.resolution


class Shortcuts:
    """The tables; readers look up in them, and change nothing.

    Attributes:
        lines: `{(name, tail): entry}`; all lines arrive by inputs of one label.
        whole_lines: `{line: (entry, value)}`, of counters.
        documents: `{key: entry}`, of JSON metrics and of metrics from log events.
    """

    def __init__(self, shape: Shape, windows: Windows, max_series: int, observer: Observer) -> None:
        """Start with empty tables.

        Args:
            shape: its cardinality is refreshed for every series that goes on in a new window.
            windows: where ended accumulators have their successors.
            max_series: bounds the tables.
            observer: counts samples that are accepted with a change; monotonic time.
        """
        self._shape = shape
        self._by_input = shape.rules.by_input
        self._windows = windows
        self._clock = observer.clock
        self._adjusted = observer.ledger.adjusted
        self._dropped = observer.ledger.samples.dropped
        self.lines: dict[tuple[bytes, bytes], Entry] = {}
        self.whole_lines: dict[bytes, tuple[Entry, float]] = {}
        self.documents: dict[bytes, Entry] = {}
        self._lines_limit = LINES_PER_SERIES * max_series
        self._line_bytes = 0
        self._line_bytes_limit = BYTES_PER_SERIES * max_series
        self._documents_limit = max_series
        self._last = 0.0  # wall seconds of the last input

    def note_time(self, now: float) -> None:
        """Note the wall time of an input: where the clock was set back, the entries point to windows of the future."""
        if now < self._last:
            self.clear()
        self._last = now

    def replace_shape(self, shape: Shape) -> None:
        """Take another shape, for which nothing is known yet."""
        self._shape = shape
        self._by_input = shape.rules.by_input
        self.clear()

    def clear(self) -> None:
        """Empty the tables."""
        self.lines.clear()
        self.whole_lines.clear()
        self._line_bytes = 0
        self.documents.clear()

    def renew(self, entry: Entry, at: float) -> bool:
        """Point an entry to the window of another time (wall seconds); False if the event is to be decoded in full.

        That is where the series is not among those of the last hour, and once a window where samples are adjusted: a
        series that was folded may be admitted itself by now.
        """
        accumulator, series = entry.accumulator, entry.series
        if isinstance(accumulator, Discard):
            return True
        if isinstance(accumulator, Adjusted):
            return False
        if not self._shape.cardinality.refresh(series, self._clock.monotonic()):
            return False
        entry.point_to(self._windows.reopen(series, accumulator, at, entry.closing), series)
        return True

    def discard(self, closing: Closing) -> Discard:
        """What is in place of an accumulator for samples that the rules of a closing drop."""
        return Discard(closing.hits, self._dropped, self._windows.tally)

    def learn_line(
        self,
        line: bytes,
        key: tuple[bytes, bytes],
        sample: Sample,
        accumulator: Accumulator | Discard,
        series: Series,
        adjusted: tuple[str, ...],
        closing: Closing = PLAIN,
    ) -> None:
        """Add entries for a line whose sample was added, and for lines that differ from it in the value only."""
        if isinstance(accumulator, Members) or sample.members or len(line) > LINE_BYTES:
            return
        target: Target = accumulator
        if adjusted and not isinstance(accumulator, Discard):
            target = Adjusted(accumulator, adjusted, self._adjusted)
        entry = self.lines.get(key)
        if entry is None:
            self._line_bytes += ENTRY_BYTES + len(line)
            if len(self.lines) >= self._lines_limit or self._line_bytes > self._line_bytes_limit:
                self.lines.clear()
                self.whole_lines.clear()
                self._line_bytes = ENTRY_BYTES + len(line)
            entry = self.lines[key] = Entry(target, sample.weights[0], series, closing)
        else:
            entry.closing = closing
            entry.point_to(target, series)  # which is also the entry of whole lines of this name and tail
        plain = len(sample.values) == 1 and abs(sample.values[0]) <= PLAIN_MAGNITUDE
        if sample.kind is Kind.COUNTER and plain and len(line) <= WHOLE_LINE_BYTES:
            if len(self.whole_lines) >= WHOLE_LINES:
                self.whole_lines.clear()
            self.whole_lines[line] = (entry, sample.values[0])

    def add_document(self, document: dict[str, Any], now: float, input_: str) -> bytes | None:
        """Add the sample of a JSON metric to the accumulator of its entry, where it has one.

        Args:
            document: parsed; unchanged afterwards where its sample was not added.
            now: wall seconds.
            input_: the label of the input by which it arrived.

        Returns:
            None if the sample was added; else the key for `learn_document`, empty where the document has none.
        """
        value_field, time_field = ("value", "timestamp") if "value" in document else ("Value", "Timestamp")
        value = document.pop(value_field, None)
        stamp = document.pop(time_field, None)
        key = b""
        # By class, since True and False are instances of int.
        if (value.__class__ is float or value.__class__ is int) and -PLAIN_MAGNITUDE <= value <= PLAIN_MAGNITUDE:
            try:
                key = orjson.dumps(document)
            except TypeError:  # nested deeper than orjson encodes
                key = b""
            if self._by_input:
                key += input_.encode()
            entry = self.documents.get(key)
            if entry is not None and (
                (stamp is None and entry.start <= now < entry.accumulator.until) or self._covers(entry, stamp, now)
            ):
                entry.accumulator.add(float(value), entry.weight)
                self._windows.tally.samples += 1
                return None
        if value is not None:
            document[value_field] = value
        if stamp is not None:
            document[time_field] = stamp
        return key

    def learn_document(
        self,
        key: bytes,
        sample: Sample,
        accumulator: Accumulator | Discard,
        series: Series,
        closing: Closing = PLAIN,
    ) -> None:
        """Add an entry for a document whose sample was added; `key` is what `add_document` returned."""
        single = len(sample.values) == 1 and sample.statistics is None
        if not single or sample.members or isinstance(accumulator, Members) or not 0 < len(key) <= KEY_BYTES:
            return
        if len(self.documents) >= self._documents_limit:
            self.documents.clear()
        # A copy: what orjson returns is the front of a block of some kilobytes, which would stay allocated.
        self.documents[bytes(memoryview(key))] = Entry(accumulator, sample.weights[0], series, closing)

    def add_value(self, key: bytes, value: float, at: float) -> bool:
        """Add a number measured at a time (wall seconds) to the accumulator of its entry; False where it has none."""
        entry = self.documents.get(key)
        if entry is None or not -PLAIN_MAGNITUDE <= value <= PLAIN_MAGNITUDE:
            return False
        if not (entry.start <= at < entry.accumulator.until or self.renew(entry, at)):
            return False
        entry.accumulator.add(value, entry.weight)
        self._windows.tally.samples += 1
        return True

    def _covers(self, entry: Entry, stamp: object, now: float) -> bool:
        """True if the window of an entry, renewed if need be, covers a document's time.

        False also where the time is refused: decoding the document in full then raises why.
        """
        time = now
        if stamp is not None:
            try:
                time = read_timestamp(stamp)
                check_timestamp(time, now)
            except DecodeError:
                return False
        return entry.start <= time < entry.accumulator.until or self.renew(entry, time)
