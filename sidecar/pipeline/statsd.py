"""The way of a datagram: StatsD lines by the table or in full, JSON by its items.

The table makes StatsD fast: a line's name and tail (everything but its value) lead straight to the accumulator
that took the last line like it, so that a line's tags are parsed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.aggregate.members import Members
from sidecar.aggregate.window import Numeric
from sidecar.clock import Clock
from sidecar.config import Metrics
from sidecar.decode import dogstatsd, statsd
from sidecar.decode.documents import Item, looks_like_json
from sidecar.errors import DecodeError
from sidecar.limits import PLAIN_MAGNITUDE
from sidecar.model import Kind, Sample, Series
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.json_datagrams import JsonDatagrams
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.refusals import Refusals
from sidecar.shape.cardinality import Cardinality

NUMBERS: Final = 8_192  # values whose text is remembered; most values of most services repeat
REMEMBERED_NUMBER_BYTES: Final = 32
REMEMBERED_LINE_BYTES: Final = 1_024  # longer lines are decoded each time: the tables are bounded in bytes too
TELEMETRY_NAMES: Final = 100
TURN_SECONDS: Final = 0.002  # after which lines that need a closer look are put off
SLOW_LINES: Final = 32  # such lines between two looks at the clock: some 0.5 ms
SMALL_BURST_BYTES: Final = 65_536
JSON_OPENINGS: Final = (b"{", b"[", b"\xef")  # the last opens a byte order mark
WHOLE_LINES: Final = 16_384  # lines of counters that are known whole
REPEATS_PAY: Final = 4  # looking for whole lines pays where one in so many is found
BURSTS_PER_TRY: Final = 16
LINES_PER_SERIES: Final = 4  # places in the table for each series: lines differ in rate and in order of tags
# What DogStatsD clients report of themselves: not the application's, so not for its bill; shown in /stats.
CLIENT_TELEMETRY: Final = "datadog.dogstatsd.client."


class DatagramPath:
    """Takes bursts of datagrams."""

    def __init__(
        self,
        config: Metrics,
        *,
        metrics: MetricPath,
        logs: LogPath,
        cardinality: Cardinality,
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: the section `metrics`.
            metrics: takes samples and JSON metrics.
            logs: takes log events.
            cardinality: told of every series that goes on in a new window.
            ledger: where samples are counted.
            limiter: limits the rate of log lines.
            clock: wall time, read once a burst.
        """
        self._signed_gauges = config.signed_gauges
        self._metrics = metrics
        self._windows = metrics.windows
        self._logs = logs
        self._cardinality = cardinality
        self._ledger = ledger
        self._refusals = Refusals(limiter)
        self._clock = clock
        # By name and tail of a line: where its samples go, the weight of each, and which series that is.
        self._table: dict[tuple[bytes, bytes], tuple[Numeric, float, Series]] = {}
        self._table_limit = LINES_PER_SERIES * config.max_series
        self._last = 0.0  # wall seconds of the last burst
        self._numbers: dict[bytes, float] = {}
        self._put_off: list[bytes] = []  # datagrams that were too much work for one turn
        self._json = JsonDatagrams(metrics=metrics, logs=logs, ledger=ledger, limiter=limiter, clock=clock)
        # Whole lines of counters: where to add, which value, and its weight.
        self._whole: dict[bytes, tuple[Numeric, float, float]] = {}
        self._repeating = True  # enough lines of the last burst were known whole
        self._bursts = 0

    def take(self, burst: list[bytes]) -> bool:
        """Take a burst of datagrams: StatsD lines, or JSON where the first byte opens an object or array.

        The hottest loop of the program. What it cannot do at once goes to `_careful`; where that takes too long,
        what is left of the burst is put off.

        Returns:
            Whether something is put off: call again, with nothing.
        """
        if self._put_off:
            burst, self._put_off = self._put_off + burst, []
        now = self._time()
        turn_ends = self._clock.monotonic() + TURN_SECONDS
        slow = 0
        table, numbers = self._table, self._numbers
        whole = self._whole.get if self._look_for_repeats() else None
        taken = repeats = 0
        waiting = iter(_joined(burst))
        self._json_done(self._json.go_on(turn_ends), waiting)
        for datagram in waiting:
            if datagram[:1] in JSON_OPENINGS and looks_like_json(datagram):
                self._json_done(self._json.take(datagram, now, turn_ends), waiting)
                continue
            lines = iter(datagram.split(b"\n"))
            for line in lines:
                if whole is not None:
                    # A counter's line mostly reads the same each time: found whole it costs half of what is below.
                    same = whole(line)
                    if same is not None and same[0].until > now:
                        same[0].add(same[1], same[2])
                        repeats += 1
                        continue
                name, _, rest = line.partition(b":")
                text, _, tail = rest.partition(b"|")
                try:
                    accumulator, weight, _ = table[name, tail]
                    # Values repeat as well: a look-up costs a third of reading and checking the text.
                    value = numbers[text]
                except KeyError:
                    pass
                else:
                    if accumulator.until > now:
                        accumulator.add(value, weight)
                        taken += 1
                        continue
                taken += self._careful(line, (name, tail), text, now)
                slow += 1
                if slow >= SLOW_LINES:
                    slow = 0
                    if self._clock.monotonic() >= turn_ends:
                        # The comprehension empties both iterators: this is the end of both loops.
                        self._put_off = [b"\n".join(lines), *waiting]
        self._repeating = repeats * REPEATS_PAY >= taken
        taken += repeats
        self._ledger.samples.received["statsd"] += taken
        self._windows.tally.samples += taken
        self._metrics.look_for_early_flush()
        self._logs.save()
        return bool(self._put_off) or self._json.busy

    def _json_done(self, done: bool, waiting: Iterator[bytes]) -> None:  # noqa: FBT001  # what a call before returned
        """Where a JSON datagram is not done, put off what waits behind it; this empties the iterator."""
        if not done:
            self._put_off = list(waiting)

    def _look_for_repeats(self) -> bool:
        """Whether to look for whole lines: where few repeat it costs a tenth of every line. Asked now and then."""
        self._bursts += 1
        return self._repeating or self._bursts % BURSTS_PER_TRY == 0

    def _time(self) -> float:
        """Wall seconds. Where the clock was set back, lines belong to earlier windows than the tables lead to."""
        now = self._clock.wall()
        self._metrics.note_time(now)
        if now < self._last:
            self._table.clear()
            self._whole.clear()
        self._last = now
        return now

    def _careful(self, line: bytes, key: tuple[bytes, bytes], text: bytes, now: float) -> int:
        """Take a line that needs more than a look-up; returns the samples the caller is to count."""
        if not line or line == b"\r":
            return 0
        entry = self._table.get(key)
        if entry is not None:
            accumulator, weight, series = entry
            value = self._numbers.get(text)
            values = (value,) if value is not None else self._values(text)
            ended = accumulator.until <= now
            if values and not (ended and not self._cardinality.refresh(series, self._clock.monotonic())):
                if ended:
                    accumulator = self._windows.reopen(series, accumulator, now)
                    self._table[key] = (accumulator, weight, series)
                    if line in self._whole:
                        self._whole[line] = (accumulator, values[0], weight)
                for number in values:
                    accumulator.add(number, weight)
                return len(values)
        self._line(line, key, now)
        return 0

    def _values(self, text: bytes) -> tuple[float, ...]:
        """Read one value, or several packed ones; empty where any of them deserves a closer look."""
        value = statsd.plain_number(text)
        if value is not None:
            if len(text) <= REMEMBERED_NUMBER_BYTES:
                if len(self._numbers) >= NUMBERS:
                    self._numbers.clear()
                self._numbers[text] = value
            return (value,)
        values: list[float] = []
        for piece in text.split(b":"):
            value = statsd.plain_number(piece)
            if value is None:
                return ()
            values.append(value)
        return tuple(values)

    def _line(self, line: bytes, key: tuple[bytes, bytes], now: float) -> None:
        """Decode a line in full; remember where lines like it lead."""
        if line.startswith(dogstatsd.OPENINGS):
            self._event(line, now)
            return
        account = self._ledger.samples
        try:
            decoded = statsd.decode_line(line, self._signed_gauges)
        except DecodeError as error:
            account.received["statsd"] += 1
            self._refusals.refuse(account, error, 1, "statsd", line)
            return
        except Exception:  # noqa: BLE001  # a bug in reading one line costs that line, counted and told
            account.received["statsd"] += 1
            self._refusals.bug(account, 1, "statsd")
            return
        for kind in decoded.ignored:
            self._ledger.ignored[kind] += 1
        for sample in decoded.samples:
            if sample.name.startswith(CLIENT_TELEMETRY):
                self._client_telemetry(sample)
                continue
            taken = self._metrics.sample(sample, "statsd", now, line)
            short = len(line) <= REMEMBERED_LINE_BYTES
            if (
                short
                and decoded.repeatable
                and not isinstance(taken, DecodeError)
                and not isinstance(taken[0], Members)
            ):
                if len(self._table) >= self._table_limit:
                    self._table.clear()
                self._table[key] = (taken[0], sample.weights[0], taken[1])
                plain = len(sample.values) == 1 and abs(sample.values[0]) <= PLAIN_MAGNITUDE
                if sample.kind is Kind.COUNTER and plain:
                    if len(self._whole) >= WHOLE_LINES:
                        self._whole.clear()
                    self._whole[line] = (taken[0], sample.values[0], sample.weights[0])

    def _client_telemetry(self, sample: Sample) -> None:
        """Add up what a DogStatsD client says of itself, by name; a client has some twenty names."""
        told = self._ledger.client_telemetry
        if sample.name in told or len(told) < TELEMETRY_NAMES:
            told[sample.name] += round(sum(sample.values))

    def _event(self, line: bytes, now: float) -> None:
        """Take a DogStatsD event or service check as a log event."""
        try:
            item = Item(dogstatsd.decode_event(line))
        except DecodeError as error:
            item = Item(None, error=error)
        except Exception:  # noqa: BLE001  # a bug in reading one line costs that line, counted and told
            account = self._ledger.log_events
            account.received["statsd"] += 1
            self._refusals.bug(account, 1, "statsd")
            return
        self._logs.item(item, "statsd", now)


def _joined(burst: list[bytes]) -> list[bytes]:
    """Make many small datagrams one of many lines, unless one may be JSON: 0.2 us a datagram less to take."""
    if len(burst) > 1 and sum(map(len, burst)) <= SMALL_BURST_BYTES:
        joined = b"\n".join(burst)
        if b"{" not in joined and b"[" not in joined:
            return [joined]
    return burst
