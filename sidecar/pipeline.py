"""The conductor: the only file that knows the order of the stages.

Metrics:  bytes -> decode -> shape -> aggregate   ... flush ...   -> batch -> sink
Logs:     bytes -> decode -> shape -> batch       ... flush ...   -> sink

It also owns the table that makes StatsD fast: a line's name and tail (everything but its value) lead straight
to the accumulator that took the last line like it, so that a line's tags are parsed once.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from sidecar.aggregate.members import Members
from sidecar.aggregate.window import Accumulator, Numeric, Windows
from sidecar.batch import logs as log_batches
from sidecar.batch import metrics as metric_batches
from sidecar.clock import Clock
from sidecar.config import Config
from sidecar.decode import events, statsd
from sidecar.errors import BusyError, DecodeError, DrainingError, Reason, UnsupportedError
from sidecar.model import LogBatch, MetricBatch, Outcome, Sample, Series
from sidecar.observe.ledger import Ledger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.shape.routing import Destination, Router
from sidecar.shape.series import Shaper

NUMBERS: Final = 8_192  # values whose text is remembered; most values of most services repeat
SLICE_SECONDS: Final = 0.0005  # a flush gives the sockets a turn this often
EARLY_SECONDS: Final = 5.0  # between two early flushes
RETRY_AFTER: Final = 2  # seconds, told with 429

B_contra = TypeVar("B_contra", contravariant=True)


class Sink(Protocol[B_contra]):
    """Where finished batches go."""

    def offer(self, batches: Iterable[B_contra]) -> None:
        """Queue batches; never waits."""
        ...

    def room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more would push nothing out."""
        ...


class Pipeline:
    """Leads events through the stages, and closes windows and buffers when it is time."""

    def __init__(
        self,
        config: Config,
        *,
        shaper: Shaper,
        router: Router,
        metrics: Sink[MetricBatch],
        logs: Sink[LogBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
        phase: float,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: read once.
            shaper: names the series of samples.
            router: names the destinations of log events.
            metrics: where metric batches go.
            logs: where log batches go.
            ledger: where everything is counted.
            limiter: for what is worth a line but may come a million times.
            clock: wall time for windows, monotonic time for waiting.
            phase: 0 to 1, how far into its allowance this process flushes, so that a fleet spreads.
        """
        self._config = config.metrics
        self._shaper = shaper
        self._router = router
        self._metrics = metrics
        self._logs = logs
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock
        self._phase = phase
        self._windows = Windows(percentiles=config.metrics.percentiles, max_levels=config.metrics.max_series)
        # By name and tail of a line: where its samples go, the weight of each, and which series that is.
        self._table: dict[tuple[bytes, bytes], tuple[Numeric, float, Series]] = {}
        self._table_limit = 4 * config.metrics.max_series
        self._numbers: dict[bytes, float] = {}
        self._packing = 0  # samples taken from windows and not yet offered to the sink
        self._buffers: dict[Destination, log_batches.LogBuffer] = {}
        self._buffered_events = 0
        self._buffered_bytes = 0
        self._log_flush_seconds = config.logs.flush_seconds
        self._log_flush_bytes = config.logs.flush_bytes
        # All buffers together may hold a quarter of the memory for batches: 500 streams must not hold 500 MB.
        self._log_open_bytes = config.deliver.memory_bytes // 4
        self._early = asyncio.Event()
        self._closed = False
        ledger.samples.holders.append(lambda: self._windows.tally.samples + self._packing)
        ledger.log_events.holders.append(lambda: self._buffered_events)

    @property
    def series(self) -> int:
        """Open accumulators."""
        return self._windows.series

    # --- what the receivers call -----------------------------------------------------------------

    def datagrams(self, burst: list[bytes]) -> None:
        """Take a burst of datagrams: StatsD lines, or JSON where the first byte opens an object or array.

        The loop is the hottest of the program: 0.6 us a line on the machine that reads a bare socket at
        1.0 us a datagram. What it cannot do at once goes to `_careful`.
        """
        now = self._clock.wall()
        known, value_of = self._table.get, self._numbers.get
        taken = 0
        for datagram in burst:
            opening = datagram[:1]
            if opening == b"{" or opening == b"[":  # noqa: PLR1714  # two comparisons cost less than a set
                self._json_datagram(datagram, now)
                continue
            for line in datagram.split(b"\n"):
                name, _, rest = line.partition(b":")
                text, _, tail = rest.partition(b"|")
                entry = known((name, tail))
                value = value_of(text)
                if entry is None or value is None or entry[0].until <= now:
                    taken += self._careful(line, (name, tail), text, value, now)
                else:
                    entry[0].add(value, entry[1])
                    taken += 1
        self._ledger.samples.received["statsd"] += taken
        self._windows.tally.samples += taken
        self._look_for_early_flush()

    def ingest_metrics(self, body: bytes, content_type: str) -> Outcome:
        """Take a body of JSON metrics.

        Raises:
            BusyError: no room; nothing was taken.
            DrainingError: the door is closed.
            UnsupportedError: not JSON.
        """
        self._admit_metrics(len(body))
        if not events.looks_like_json(body):
            raise UnsupportedError(f"{content_type}: the body must be JSON, an object, an array or one a line")
        now = self._clock.wall()
        accepted = 0
        rejected: list[tuple[int, str]] = []
        for index, item in enumerate(events.metric_items(events.documents(body))):
            error = self._metric_item(item, "http", now)
            if error is None:
                accepted += 1
            else:
                rejected.append((index, str(error)))
        self._look_for_early_flush()
        return Outcome(accepted, rejected)

    def ingest_logs(self, body: bytes, content_type: str) -> Outcome:
        """Take a body of log events: JSON, or text with one event a line where the type is text/plain.

        Raises:
            BusyError: no room; nothing was taken.
            DrainingError: the door is closed.
            UnsupportedError: neither JSON nor text/plain.
        """
        if self._closed:
            raise DrainingError
        if not self._logs.room_for(self._buffered_bytes + len(body)):
            raise BusyError(RETRY_AFTER)
        if content_type == "text/plain":
            items = events.text_lines(body)
        elif events.looks_like_json(body):
            items = events.documents(body)
        else:
            raise UnsupportedError(f"{content_type}: the body must be JSON, or text/plain with one event a line")
        now = self._clock.wall()
        accepted = 0
        rejected: list[tuple[int, str]] = []
        for index, item in enumerate(items):
            error = self._log_item(item, "http", now)
            if error is None:
                accepted += 1
            else:
                rejected.append((index, str(error)))
        return Outcome(accepted, rejected)

    def close(self) -> None:
        """Close the door: what comes over HTTP from now on is refused."""
        self._closed = True

    # --- metrics ---------------------------------------------------------------------------------

    def _careful(self, line: bytes, key: tuple[bytes, bytes], text: bytes, value: float | None, now: float) -> int:
        """Take a line that needs more than a look-up; returns the samples the caller is to count."""
        entry = self._table.get(key)
        if entry is not None:
            values = (value,) if value is not None else self._values(text)
            if values:
                accumulator, weight, series = entry
                if accumulator.until <= now:
                    accumulator = self._windows.reopen(series, accumulator, now)
                    self._table[key] = (accumulator, weight, series)
                for number in values:
                    accumulator.add(number, weight)
                return len(values)
        if line and line != b"\r":
            self._line(line, key, now)
        return 0

    def _values(self, text: bytes) -> tuple[float, ...]:
        """Read one value, or several packed ones; empty where any of them deserves a closer look."""
        value = statsd.plain_number(text)
        if value is not None:
            if len(self._numbers) >= NUMBERS:
                self._numbers.clear()
            self._numbers[text] = value
            return (value,)
        values = [statsd.plain_number(piece) for piece in text.split(b":")]
        return () if None in values else tuple(values)  # type: ignore[arg-type]

    def _line(self, line: bytes, key: tuple[bytes, bytes], now: float) -> None:
        """Decode a line in full; remember where lines like it lead."""
        account = self._ledger.samples
        try:
            decoded = statsd.decode_line(line, self._config.signed_gauges)
        except DecodeError as error:
            account.received["statsd"] += 1
            self._refuse(account, error, 1, "statsd", line)
            return
        except Exception:  # noqa: BLE001  # a bug in reading one line costs that line, counted and told
            account.received["statsd"] += 1
            self._bug(account, 1, "statsd")
            return
        for kind in decoded.ignored:
            self._ledger.ignored[kind] += 1
        for sample in decoded.samples:
            taken = self._sample(sample, "statsd", now, line)
            if isinstance(taken, DecodeError):
                continue
            if decoded.repeatable:
                accumulator, series = taken
                if isinstance(accumulator, Members):
                    continue
                if len(self._table) >= self._table_limit:
                    self._table.clear()
                self._table[key] = (accumulator, sample.weights[0], series)

    def _json_datagram(self, datagram: bytes, now: float) -> None:
        """Take a datagram of JSON: metrics and log events, told apart by `message`."""
        for item in events.documents(datagram):
            value = item.value
            if item.error is None and isinstance(value, dict) and ("message" in value or "_aws" in value):
                self._log_item(item, "udp", now)
            else:
                for metric in events.metric_items([item]):
                    self._metric_item(metric, "udp", now)

    def _metric_item(self, item: events.Item, input_: str, now: float) -> DecodeError | None:
        """Take one JSON metric; returns why not, already counted."""
        account = self._ledger.samples
        unknown: set[str] = set()
        try:
            if item.error is not None:
                raise item.error  # noqa: TRY301  # counted where every other refusal is
            sample = events.decode_metric(item.value, unknown)
        except DecodeError as error:
            account.received[input_] += 1
            self._refuse(account, error, 1, input_, item.text)
            return error
        except Exception:  # noqa: BLE001  # a bug in reading one item costs that item, counted and told
            account.received[input_] += 1
            return self._bug(account, 1, input_)
        if unknown:
            self._ledger.ignored["unknown_field"] += len(unknown)
            names = sorted(unknown)[:10]
            self._limiter.warning("unknown_field", "fields of a metric were ignored", fields=names, metric=sample.name)
        taken = self._sample(sample, input_, now, item.text)
        return taken if isinstance(taken, DecodeError) else None

    def _sample(
        self, sample: Sample, input_: str, now: float, shown: bytes | str | None
    ) -> tuple[Accumulator, Series] | DecodeError:
        """Shape and aggregate one sample; returns where it went, or why nowhere, already counted."""
        account = self._ledger.samples
        account.received[input_] += sample.size
        try:
            if sample.timestamp is not None:
                events.check_timestamp(sample.timestamp, now)
            series = self._shaper.series(sample)
            return self._windows.add(series, sample, now), series
        except DecodeError as error:
            self._refuse(account, error, sample.size, input_, shown)
            return error
        except Exception:  # noqa: BLE001  # a bug in one sample costs that sample, counted and told
            return self._bug(account, sample.size, input_)

    def _admit_metrics(self, size_bytes: int) -> None:
        if self._closed:
            raise DrainingError
        if self._windows.tally.entries >= 2 * self._config.flush_entries or not self._metrics.room_for(size_bytes):
            raise BusyError(RETRY_AFTER)

    # --- logs ------------------------------------------------------------------------------------

    def _log_item(self, item: events.Item, input_: str, now: float) -> DecodeError | None:
        """Take one log event; returns why not, already counted."""
        account = self._ledger.log_events
        account.received[input_] += 1
        try:
            if item.error is not None:
                raise item.error  # noqa: TRY301  # counted where every other refusal is
            event = events.decode_log(item, now)
            message, was_cut = log_batches.cut(event.message)
            destination = self._router.route(event, self._clock.monotonic())
            encoded = log_batches.encode(event.timestamp_ms, message)
        except DecodeError as error:
            self._refuse(account, error, 1, input_, None)
            return error
        except Exception:  # noqa: BLE001  # a bug in one event costs that event, counted and told
            return self._bug(account, 1, input_)
        if was_cut:
            self._ledger.ignored["message_cut"] += 1
        if event.late_stamped:
            self._ledger.ignored["unreadable_timestamp"] += 1
        buffer = self._buffers.get(destination)
        if buffer is None:
            buffer = self._buffers[destination] = log_batches.LogBuffer()
        buffer.add(encoded)
        self._buffered_events += 1
        self._buffered_bytes += encoded.size_bytes
        if buffer.full(self._log_flush_bytes):
            self._flush_buffer(destination, "threshold")
        elif self._buffered_bytes >= self._log_open_bytes:
            self.flush_logs("threshold")
        return None

    def flush_logs(self, cause: str) -> None:
        """Send what every buffer holds."""
        for destination in list(self._buffers):
            self._flush_buffer(destination, cause)

    def _flush_buffer(self, destination: Destination, cause: str) -> None:
        buffer = self._buffers.pop(destination)
        self._buffered_events -= len(buffer)
        self._buffered_bytes -= buffer.size_bytes
        self._ledger.flushes[f"logs_{cause}"] += 1
        self._logs.offer(buffer.take(*destination))

    # --- flushing --------------------------------------------------------------------------------

    async def flush_metrics(self, cause: str, *, unfinished: bool, resolutions: tuple[int, ...] = (1, 60)) -> None:
        """Take windows out, batch them and send them, with a turn for the sockets every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            unfinished: also the open part of windows that have not ended; CloudWatch merges the parts.
            resolutions: which windows.
        """
        packer = metric_batches.Packer()
        turn_ends = self._clock.monotonic() + SLICE_SECONDS
        for window in self._windows.take(self._clock.wall(), unfinished=unfinished, resolutions=resolutions):
            for (series, _), accumulator in window.accumulators.items():
                measurement = accumulator.take()
                if measurement is None:
                    continue
                self._packing += measurement.samples
                if measurement.counts is not None and measurement.values[0] < 0.0:
                    self._tell_negative(series)
                datums = metric_batches.encode(series, window.start, measurement)
                self._send_metrics(packer.add(series.namespace, datums))
                if self._clock.monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = self._clock.monotonic() + SLICE_SECONDS
        self._send_metrics(packer.close())
        self._ledger.flushes[f"metrics_{cause}"] += 1

    async def run_metric_timer(self, resolution: int, flush_seconds: float) -> None:
        """Flush one resolution's windows at every boundary of `flush_seconds`, shifted by the phase."""
        phase = self._phase * min(20.0, flush_seconds)
        while True:
            now = self._clock.wall()
            await asyncio.sleep(flush_seconds - (now - phase) % flush_seconds)
            unfinished = flush_seconds < resolution
            await self.flush_metrics("timer", unfinished=unfinished, resolutions=(resolution,))

    async def run_early_flushes(self) -> None:
        """Flush when a threshold is reached, at most every five seconds."""
        while True:
            await self._early.wait()
            await self.flush_metrics("threshold", unfinished=True)
            self._early.clear()
            await asyncio.sleep(EARLY_SECONDS)
            self._look_for_early_flush()

    async def run_log_timer(self) -> None:
        """Flush the log buffers every `logs.flush_seconds`."""
        while True:
            await asyncio.sleep(self._log_flush_seconds)
            self.flush_logs("timer")

    async def flush_everything(self) -> None:
        """Flush what is open, for the drain."""
        self.flush_logs("drain")
        await self.flush_metrics("drain", unfinished=True)

    def _look_for_early_flush(self) -> None:
        config, windows = self._config, self._windows
        too_many_series = config.flush_series is not None and windows.series >= config.flush_series
        if too_many_series or windows.tally.entries >= config.flush_entries:
            self._early.set()

    def _send_metrics(self, batches: list[MetricBatch]) -> None:
        for batch in batches:
            self._packing -= batch.units
        self._metrics.offer(batches)

    # --- what is told ----------------------------------------------------------------------------

    def _refuse(
        self, account: SignalLedger, error: DecodeError, units: int, input_: str, shown: bytes | str | None
    ) -> None:
        account.dropped[error.reason] += units
        fields: dict[str, object] = {"input": input_, "reason": error.reason, "detail": error.detail}
        if isinstance(shown, bytes):
            fields["line"] = shown[:200].decode("utf-8", "backslashreplace")
        self._limiter.warning(f"refused {input_} {error.reason}", "refused", **fields)

    def _bug(self, account: SignalLedger, units: int, input_: str) -> DecodeError:
        account.dropped[Reason.INTERNAL_ERROR] += units
        self._limiter.error(
            f"internal_error {input_}", "a bug: one event was dropped", input=input_, traceback=traceback.format_exc()
        )
        return DecodeError(Reason.INTERNAL_ERROR, "an error of the sidecar's own, see its log")

    def _tell_negative(self, series: Series) -> None:
        self._limiter.warning(
            f"negative {series.name}",
            "a distribution has negative values: CloudWatch gives no percentiles for it",
            metric=series.name,
            namespace=series.namespace,
        )
