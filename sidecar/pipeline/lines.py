"""The way of a datagram: StatsD lines by their shortcuts or decoded in full, JSON by its items.

A line's name and tail (everything but its value) lead straight to the accumulator that took the last line like it, so
that a line's tags are parsed once.
"""

from __future__ import annotations

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
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.json_datagrams import JsonDatagrams
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath, Taken
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.runtime.clock import Clock

NUMBERS: Final = 8_192  # values whose text is remembered; most values of most services repeat
REMEMBERED_NUMBER_BYTES: Final = 32
TELEMETRY_NAMES: Final = 100
TURN_SECONDS: Final = 0.002  # after which the rest of a burst is put off
# Work is counted in units of about 10 ns, and the clock is looked at after half a millisecond of it: a line that needs
# more than a look-up costs so many units, and so many for each of its bytes; four bytes of known lines cost one.
WORK_PER_LOOK: Final = 65_536
LINE_WORK: Final = 2_048
BYTE_WORK: Final = 32
LONG_LINE_BYTES: Final = 2_048  # longer lines are looked at for many values
SMALL_BURST_BYTES: Final = 65_536
JSON_OPENINGS: Final = (b"{", b"[", b"\xef")  # the last opens a byte order mark
REPEATS_PAY: Final = 4  # looking for whole lines pays where one in so many is found
BURSTS_PER_TRY: Final = 16
WARNED_NAMES: Final = 100  # gauges whose signs were warned of
# What DogStatsD clients report of themselves: not the application's, so not for its bill; shown in /stats.
CLIENT_TELEMETRY: Final = "datadog.dogstatsd.client."
# What follows a bracket in JSON: a container, text, or a plain value and then a comma or the end. SignalFx puts tags
# there: `[region=eu]hits:1|c`.
_JSON_ARRAY: Final = re.compile(
    rb"\[[ \t\r\n]*(?:[{\[\"]|\]?[ \t\r\n]*\Z|(?:-?[0-9][0-9.eE+-]*|true|false|null|-?NaN|-?Infinity)[ \t\r\n]*[,\]])"
)


class DatagramPath:
    """Takes bursts of datagrams."""

    def __init__(
        self,
        *,
        input_: str,
        json_input: str,
        emf: Decode | None,
        metrics: MetricPath,
        logs: LogPath,
        dispatch: Dispatch,
        windows: Windows,
        shortcuts: Shortcuts,
        flushes: MetricFlushes,
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take over the collaborators.

        Args:
            input_: the label under which the ledger counts lines.
            json_input: that of JSON.
            emf: decodes JSON in embedded metric format; None: it is a log event like any other.
            metrics: says how the signs of gauges are read.
            logs: saves its buffers after each burst.
            dispatch: takes what has no shortcut.
            windows: count the samples that are added to accumulators.
            shortcuts: lead lines to accumulators.
            flushes: are started early at a threshold.
            ledger: where samples are counted.
            limiter: limits the rate of log lines.
            clock: wall time, read once a burst.
        """
        self._metrics = metrics
        self._windows = windows
        self._shortcuts = shortcuts
        self._flushes = flushes
        self._logs = logs
        self._ledger = ledger
        self._limiter = limiter
        self._dispatch = dispatch
        self._input = input_
        self._line_source = Source(input_, ledger.samples, self._decode)
        self._sample_source = Source(input_, ledger.samples, _itself)
        self._event_source = Source(input_, ledger.log_events, dogstatsd.decode)
        self._clock = clock
        self._numbers: dict[bytes, float] = {}
        # What was too much work for one turn: the rest of a datagram of lines, and the datagrams behind it.
        self._lines: Iterator[bytes] = iter(())
        self._waiting: deque[bytes] = deque()
        self._json = JsonDatagrams(json_input, emf, dispatch=dispatch, ledger=ledger, limiter=limiter, clock=clock)
        self._repeating = True  # enough lines of the last burst were known whole
        self._bursts = 0
        self._warned: set[str] = set()  # names of gauges whose signs were warned of

    def take(self, burst: list[bytes]) -> bool:  # noqa: C901, PLR0912, PLR0915  # one loop: a call a line would cost a tenth
        """Take a burst of datagrams: StatsD lines, or JSON where the datagram starts like an object or array.

        The hottest loop of the program. What it cannot do at once goes to `_careful`; where that takes too long,
        what is left of the burst is put off.

        Returns:
            Whether something is put off: call again, with nothing.
        """
        waiting, lines = self._waiting, self._lines
        waiting += _joined(burst)
        now = self._clock.wall()
        self._metrics.note_time(now)
        turn_ends = self._clock.monotonic() + TURN_SECONDS
        work = 0 if self._json.go_on(turn_ends) else WORK_PER_LOOK
        table, numbers = self._shortcuts.lines, self._numbers
        whole = self._shortcuts.whole_lines.get if self._look_for_repeats() else None
        taken = repeats = 0
        while True:
            if work >= WORK_PER_LOOK:
                if self._clock.monotonic() >= turn_ends:
                    break
                work = 0
            for line in lines:
                if whole is not None:
                    # A counter's line mostly reads the same each time: found whole it costs half of what is below.
                    same = whole(line)
                    if same is not None:
                        place, value = same
                        accumulator = place.accumulator
                        if accumulator.until > now:
                            accumulator.add(value, place.weight)
                            repeats += 1
                            continue
                name, _, rest = line.partition(b":")
                text, _, tail = rest.partition(b"|")
                try:
                    place = table[name, tail]
                    # Values repeat as well: a look-up costs a third of reading and checking the text.
                    value = numbers[text]
                except KeyError:
                    pass
                else:
                    accumulator = place.accumulator
                    if accumulator.until > now:
                        accumulator.add(value, place.weight)
                        taken += 1
                        continue
                if len(line) > LONG_LINE_BYTES and (pieces := statsd.split_values(line)) is not None:
                    lines = chain(pieces, lines)
                    break
                taken += self._careful(line, (name, tail), text, now)
                work += LINE_WORK + BYTE_WORK * len(line)
                if work >= WORK_PER_LOOK:
                    break
            else:
                if not waiting:
                    break
                lines, units = self._open(waiting.popleft(), now, turn_ends)
                work += units
        self._lines = lines
        self._repeating = repeats * REPEATS_PAY >= taken
        self._count(taken + repeats)
        return work >= WORK_PER_LOOK

    def _open(self, datagram: bytes, now: float, turn_ends: float) -> tuple[Iterator[bytes], int]:
        """The lines of a datagram, none where it is JSON, which is taken here; and the work that it is by itself."""
        if _is_json(datagram):
            self._json.take(datagram, now, turn_ends)
            return iter(()), WORK_PER_LOOK
        return iter(datagram.split(b"\n")), len(datagram) // 4

    def _count(self, taken: int) -> None:
        """Count the samples that a burst added to accumulators, and do what is done once a burst."""
        self._ledger.samples.received[self._input] += taken
        self._windows.tally.samples += taken
        self._flushes.look_for_early_flush()
        self._logs.save()

    def _look_for_repeats(self) -> bool:
        """Whether to look for whole lines: where few repeat it costs a tenth of every line. Asked now and then."""
        self._bursts += 1
        return self._repeating or self._bursts % BURSTS_PER_TRY == 0

    def _careful(self, line: bytes, key: tuple[bytes, bytes], text: bytes, now: float) -> int:
        """Take a line that needs more than a look-up; returns the samples the caller is to count."""
        if not line or line.isspace():
            return 0
        place = self._shortcuts.lines.get(key)
        if place is not None:
            value = self._numbers.get(text)
            values = (value,) if value is not None else self._values(text)
            if values and (place.accumulator.until > now or self._shortcuts.renew(place, now)):
                for number in values:
                    place.accumulator.add(number, place.weight)
                return len(values)
        self._line(line, key, now)
        return 0

    def _values(self, text: bytes) -> tuple[float, ...]:
        """Read one value, or several packed ones; empty where any of them deserves a closer look."""
        value = plain_number(text)
        if value is not None:
            if len(text) <= REMEMBERED_NUMBER_BYTES:
                if len(self._numbers) >= NUMBERS:
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
        """Decode a line in full; remember where lines like it lead."""
        if line.lstrip().startswith(dogstatsd.OPENINGS):
            self._dispatch.take(line.lstrip(), self._event_source, now)
            return
        decoded = self._dispatch.take(line, self._line_source, now, line)
        if not isinstance(decoded, Line):
            return
        if decoded.assumed_value:
            self._warn_of_sign(decoded.samples[0].name)
        for sample in decoded.samples:
            if sample.name.startswith(CLIENT_TELEMETRY):
                self._client_telemetry(sample)
                continue
            taken = self._dispatch.take(sample, self._sample_source, now, line)
            if decoded.repeatable and isinstance(taken, Taken):
                self._shortcuts.learn_line(line, key, sample, *taken)

    def _warn_of_sign(self, name: str) -> None:
        """Say once a name that a gauge's sign is ambiguous, and how to decide it."""
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
        """Add up what a DogStatsD client says of itself, by name; a client has some twenty names."""
        told = self._ledger.client_telemetry
        if sample.name in told or (len(told) < TELEMETRY_NAMES and len(sample.name) <= NAME_CHARACTERS):
            told[sample.name] += round(sum(sample.values))

    def _decode(self, line: bytes, _: float) -> Line | DecodeError:
        return statsd.decode(line, self._metrics.signed_gauges)


def _itself(sample: Sample, _: float) -> Sample:
    return sample


def _is_json(datagram: bytes) -> bool:
    """Whether a datagram is read as JSON: it opens an object, or an array and not the tags of a line."""
    if datagram[:1] not in JSON_OPENINGS:
        return False
    text = datagram.removeprefix(BYTE_ORDER_MARK).lstrip()
    return text[:1] == b"{" or _JSON_ARRAY.match(text) is not None


def _joined(burst: list[bytes]) -> list[bytes]:
    """Make many small datagrams one of many lines, unless one may be JSON: 0.2 us a datagram less to take."""
    if len(burst) > 1 and sum(map(len, burst)) <= SMALL_BURST_BYTES:
        joined = b"\n".join(burst)
        if b"{" not in joined and b"[" not in joined:
            return [joined]
    return burst
