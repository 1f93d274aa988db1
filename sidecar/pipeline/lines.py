"""The way of a datagram: StatsD lines by their shortcuts or decoded in full, JSON by its items.

A line's name and tail (everything but its value) are looked up in a table of accumulators, so that the tags of lines
that repeat are parsed once.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Final

from sidecar.aggregate.window import Windows
from sidecar.decode import dogstatsd, statsd
from sidecar.decode.documents import BYTE_ORDER_MARK
from sidecar.decode.numbers import plain_number
from sidecar.decode.statsd import Line
from sidecar.model.errors import DecodeError
from sidecar.model.exchange import Decode
from sidecar.model.limits import NAME_CHARACTERS
from sidecar.model.samples import Sample
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.json_datagrams import JsonDatagrams
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.metrics import Added, MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts

CACHED_NUMBERS: Final = 8_192  # texts of values and what they mean; most values of most services repeat
CACHED_NUMBER_BYTES: Final = 32
TELEMETRY_NAMES: Final = 100
TURN_SECONDS: Final = 0.002  # after which the rest of a burst is deferred
# Work is counted in units of about 10 ns, and the clock is read after half a millisecond of it: a line that is not found
# in a table costs LINE_WORK, and BYTE_WORK for each of its bytes; four bytes of lines that are found cost one unit.
WORK_PER_CLOCK_READ: Final = 65_536
LINE_WORK: Final = 2_048
BYTE_WORK: Final = 32
LONG_LINE_BYTES: Final = 2_048  # longer lines are checked for many values
SMALL_BURST_BYTES: Final = 65_536
JSON_OPENINGS: Final = (b"{", b"[", b"\xef")  # the last opens a byte order mark
REPEATS_PAY: Final = 4  # looking up whole lines saves time where at least one in so many is found
BURSTS_PER_TRY: Final = 16  # where it does not, it is tried once in so many bursts
WARNED_NAMES: Final = 100  # gauges that a warning about their signs was logged for
# Metrics of DogStatsD clients about themselves: not the application's, so not sent to CloudWatch; shown in /stats.
CLIENT_TELEMETRY: Final = "datadog.dogstatsd.client."
# What follows a bracket in JSON: a container, text, or a plain value and then a comma or the end. SignalFx puts tags
# there: `[region=eu]hits:1|c`.
_JSON_ARRAY: Final = re.compile(
    rb"\[[ \t\r\n]*(?:[{\[\"]|\]?[ \t\r\n]*\Z|(?:-?[0-9][0-9.eE+-]*|true|false|null|-?NaN|-?Infinity)[ \t\r\n]*[,\]])"
)


class DatagramPath:
    """Ingests bursts of datagrams."""

    def __init__(
        self,
        *,
        input_: str,
        json_input: str,
        emf: Decode | None,
        metrics: MetricPath,
        logs: LogBuffers,
        dispatch: Dispatch,
        windows: Windows,
        shortcuts: Shortcuts,
        flushes: MetricFlushes,
        observer: Observer,
    ) -> None:
        """Connect the parts.

        Args:
            input_: the label under which the ledger counts lines.
            json_input: that of JSON.
            emf: decodes JSON in embedded metric format; None: it is a log event like any other.
            metrics: knows how the signs of gauges are read.
            logs: saves its buffers after each burst.
            dispatch: ingests lines that have no shortcut.
            windows: count the samples that are added to accumulators.
            shortcuts: the tables from lines to accumulators.
            flushes: are started early at a threshold.
            observer: counts and logs; its wall time is read once a burst.
        """
        self._metrics = metrics
        self._windows = windows
        self._shortcuts = shortcuts
        self._flushes = flushes
        self._logs = logs
        ledger = self._ledger = observer.ledger
        self._limiter = observer.limiter
        self._refusals = observer.refusals
        self._dispatch = dispatch
        self._input = input_
        self._line_source = Source(input_, ledger.samples, self._decode)
        self._sample_source = Source(input_, ledger.samples, _itself)
        self._event_source = Source(input_, ledger.log_events, dogstatsd.decode)
        self._clock = observer.clock
        self._numbers: dict[bytes, float] = {}
        # What was deferred: the rest of a datagram of lines, and the datagrams behind it.
        self._deferred = False
        self._lines: Iterator[bytes] = iter(())
        self._waiting: deque[bytes] = deque()
        self._json = JsonDatagrams(json_input, emf, dispatch=dispatch, observer=observer)
        self._repeating = True  # enough lines of the last burst were found whole
        self._bursts = 0
        self._warned: set[str] = set()  # names of gauges that a warning about their signs was logged for

    def ingest(self, burst: list[bytes]) -> bool:  # noqa: C901, PLR0912, PLR0915  # one loop: a call a line would cost a tenth
        """Ingest a burst of datagrams: StatsD lines, or JSON where the datagram starts like an object or array.

        The hottest loop of the program. Lines that it does not find in a table go to `_careful`. After two
        milliseconds the rest of the burst is deferred.

        Returns:
            True if a rest was deferred: call again, with an empty burst, once other tasks have run.
        """
        waiting, lines = self._waiting, self._lines
        waiting += _joined(burst)
        now = self._clock.wall()
        self._metrics.note_time(now)
        turn_ends = self._clock.monotonic() + TURN_SECONDS
        work = 0 if self._json.resume(turn_ends) else WORK_PER_CLOCK_READ
        table, numbers = self._shortcuts.lines, self._numbers
        whole = self._shortcuts.whole_lines.get if self._look_for_repeats() else None
        added = repeats = 0
        while True:
            if work >= WORK_PER_CLOCK_READ:
                if self._clock.monotonic() >= turn_ends:
                    break
                work = 0
            for line in lines:
                if whole is not None:
                    # A counter's line is mostly the same each time: found whole it costs half of what is below.
                    same = whole(line)
                    if same is not None:
                        entry, value = same
                        accumulator = entry.accumulator
                        if accumulator.until > now:
                            accumulator.add(value, entry.weight)
                            repeats += 1
                            continue
                name, _, rest = line.partition(b":")
                text, _, tail = rest.partition(b"|")
                try:
                    entry = table[name, tail]
                    # Values repeat as well: a look-up costs a third of reading and checking the text.
                    value = numbers[text]
                except KeyError:
                    pass
                else:
                    accumulator = entry.accumulator
                    if accumulator.until > now:
                        accumulator.add(value, entry.weight)
                        added += 1
                        continue
                if len(line) > LONG_LINE_BYTES and (pieces := statsd.split_values(line)) is not None:
                    lines = chain(pieces, lines)
                    break
                added += self._careful(line, (name, tail), text, now)
                work += LINE_WORK + BYTE_WORK * len(line)
                if work >= WORK_PER_CLOCK_READ:
                    break
            else:
                if not waiting:
                    break
                lines, units = self._open(waiting.popleft(), now, turn_ends)
                work += units
        self._lines = lines
        self._repeating = repeats * REPEATS_PAY >= added
        self._count(added + repeats)
        self._deferred = work >= WORK_PER_CLOCK_READ
        return self._deferred

    async def finish(self, *, at_once: bool) -> None:
        """Ingest what is still deferred when the inputs have stopped; `at_once`: without yielding to the event loop."""
        while self._deferred:
            try:
                self.ingest([])
            except Exception:  # noqa: BLE001  # a bug costs the rest of the burst, counted and logged; the drain goes on
                self._deferred = False
                self._ledger.samples.received[self._input] += 1
                self._refusals.bug(self._ledger.samples, 1, self._input)
            if not at_once:
                await asyncio.sleep(0)

    def _open(self, datagram: bytes, now: float, turn_ends: float) -> tuple[Iterator[bytes], int]:
        """Split a datagram into lines; one that is JSON is ingested here, and has none.

        Returns:
            The lines, and the units of work to count for the datagram.
        """
        if is_json(datagram):
            self._json.ingest(datagram, now, turn_ends)
            return iter(()), WORK_PER_CLOCK_READ
        return iter(datagram.split(b"\n")), len(datagram) // 4

    def _count(self, added: int) -> None:
        """Count the samples that a burst added to accumulators, and do what is done once a burst."""
        self._ledger.samples.received[self._input] += added
        self._windows.tally.samples += added
        self._flushes.check_thresholds()
        self._logs.save()

    def _look_for_repeats(self) -> bool:
        """True if whole lines are to be looked up in this burst: where few repeat, that costs a tenth of every line."""
        self._bursts += 1
        return self._repeating or self._bursts % BURSTS_PER_TRY == 0

    def _careful(self, line: bytes, key: tuple[bytes, bytes], text: bytes, now: float) -> int:
        """Ingest a line that was not found in the tables; returns the number of samples that the caller counts."""
        if not line or line.isspace():
            return 0
        entry = self._shortcuts.lines.get(key)
        if entry is not None:
            value = self._numbers.get(text)
            values = (value,) if value is not None else self._values(text)
            if values and (entry.accumulator.until > now or self._shortcuts.renew(entry, now)):
                for number in values:
                    entry.accumulator.add(number, entry.weight)
                return len(values)
        self._line(line, key, now)
        return 0

    def _values(self, text: bytes) -> tuple[float, ...]:
        """Read one value, or several packed ones; empty where one of them is not a plain number."""
        value = plain_number(text)
        if value is not None:
            if len(text) <= CACHED_NUMBER_BYTES:
                if len(self._numbers) >= CACHED_NUMBERS:
                    self._numbers.clear()
                self._numbers[text] = value
            return (value,)
        values: list[float] = []
        for piece in text.split(b":"):
            value = plain_number(piece)
            if value is not None:
                values.append(value)
            elif piece:
                return ()
        return tuple(values)

    def _line(self, line: bytes, key: tuple[bytes, bytes], now: float) -> None:
        """Decode a line in full, and learn the shortcut for lines like it."""
        if line.lstrip().startswith(dogstatsd.OPENINGS):
            outcome = self._dispatch.ingest(line.lstrip(), self._event_source, now)
            if outcome is not None and isinstance(outcome, Iterator):
                deque(outcome, maxlen=0)  # a long message: the clock is read after this line
            return
        decoded = self._dispatch.ingest(line, self._line_source, now, line)
        if not isinstance(decoded, Line):
            return
        if decoded.assumed_value:
            self._warn_of_sign(decoded.samples[0].name)
        for sample in decoded.samples:
            if sample.name.startswith(CLIENT_TELEMETRY):
                self._client_telemetry(sample)
                continue
            outcome = self._dispatch.ingest(sample, self._sample_source, now, line)
            if decoded.repeatable and isinstance(outcome, Added):
                self._shortcuts.learn_line(line, key, sample, *outcome)

    def _warn_of_sign(self, name: str) -> None:
        """Log once for each name that a gauge's sign is ambiguous, and which key decides it."""
        if name in self._warned or len(self._warned) >= WARNED_NAMES or len(name) > NAME_CHARACTERS:
            return
        self._warned.add(name)
        self._limiter.warning(
            f"signed_gauge {name}",
            "a gauge with a sign and DogStatsD fields is read as a value: where its client means a change, set"
            " signed_gauges: delta in a rule of metrics.rules that matches it, else signed_gauges: value",
            metric=name,
        )

    def _client_telemetry(self, sample: Sample) -> None:
        """Add up a DogStatsD client's metrics about itself, by name; a client has about twenty."""
        totals = self._ledger.client_telemetry
        if sample.name in totals or (len(totals) < TELEMETRY_NAMES and len(sample.name) <= NAME_CHARACTERS):
            totals[sample.name] += round(sum(sample.values))

    def _decode(self, line: bytes, _: float) -> Line | DecodeError:
        return statsd.decode(line, self._metrics.shape.signed_gauges)


def _itself(sample: Sample, _: float) -> Sample:
    return sample


def is_json(datagram: bytes) -> bool:
    """True if a datagram is read as JSON: it opens an object, or an array and not the tags of a line."""
    if datagram[:1] not in JSON_OPENINGS:
        return False
    text = datagram.removeprefix(BYTE_ORDER_MARK).lstrip()
    return text[:1] == b"{" or _JSON_ARRAY.match(text) is not None


def _joined(burst: list[bytes]) -> list[bytes]:
    """Join many small datagrams to one of many lines, unless one may be JSON: saves 0.2 us a datagram."""
    if len(burst) > 1 and sum(map(len, burst)) <= SMALL_BURST_BYTES:
        joined = b"\n".join(burst)
        if b"{" not in joined and b"[" not in joined:
            return [joined]
    return burst
