"""The self-metrics: read from the ledger's plain integers when somebody scrapes, never kept twice.

A prometheus_client Counter takes a lock at every `inc`; a custom collector costs the hot path nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar import __version__
from sidecar.observe.health import DeliveryHealth, Health
from sidecar.observe.ledger import REQUEST_SECONDS_BUCKETS, Ledger, SignalLedger


class LedgerCollector(Collector):
    """Turns the ledger and the health into metric families."""

    def __init__(
        self,
        ledger: Ledger,
        health: Health,
        series: Callable[[], int],
        stall_seconds: Callable[[], float],
        checkpoint_age: Callable[[], float] | None = None,
    ) -> None:
        """Take what is to be read; the callables are asked at each scrape, `checkpoint_age` where there is a spool."""
        self._checkpoint_age = checkpoint_age
        self._ledger = ledger
        self._health = health
        self._series = series
        self._stall_seconds = stall_seconds

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        ledger = self._ledger
        yield from _signal("samples", ledger.samples)
        yield from _signal("log_events", ledger.log_events)
        yield _counter("sidecar_datagrams_read", "Datagrams taken from the sockets.", ledger.datagrams.read)
        text = "Datagrams that were not read when the drain closed the door. Loss."
        yield _counter("sidecar_datagrams_discarded", text, ledger.datagrams.discarded)
        dropped = ledger.datagrams.kernel_dropped()
        if dropped is not None:
            text = "Datagrams the kernel dropped because a receive buffer was full. Loss."
            yield _counter("sidecar_datagrams_kernel_dropped", text, dropped)
        yield from self._requests()
        ambiguous = CounterMetricFamily(
            "sidecar_ambiguous",
            "Samples and log events sent again although they may have been stored: possible duplicates.",
            labels=["signal"],
        )
        ambiguous.add_metric(["metrics"], ledger.samples.ambiguous)
        ambiguous.add_metric(["logs"], ledger.log_events.ambiguous)
        yield ambiguous
        up = GaugeMetricFamily(
            "sidecar_delivery_up", "1 unless the last request of the signal failed.", labels=["signal"]
        )
        up.add_metric(["metrics"], _up(self._health.metrics))
        up.add_metric(["logs"], _up(self._health.logs))
        yield up
        slowed = GaugeMetricFamily(
            "sidecar_delivery_slowed",
            "1 while requests are spaced because the service throttled one in the last 30 seconds.",
            labels=["signal"],
        )
        slowed.add_metric(["metrics"], self._health.metrics.rate_limit() is not None)
        slowed.add_metric(["logs"], self._health.logs.rate_limit() is not None)
        yield slowed
        adjusted = CounterMetricFamily(
            "sidecar_adjusted",
            "Samples and log events that were taken, but changed: cut, folded, repaired, a field ignored.",
            labels=["kind"],
        )
        for kind, units in list(ledger.adjusted.items()):
            adjusted.add_metric([kind], units)
        yield adjusted
        answers = CounterMetricFamily(
            "sidecar_http_answers", "Answers of the ingest server.", labels=["route", "status"]
        )
        for (route, status), count in list(ledger.answers.items()):
            answers.add_metric([route, str(status)], count)
        yield answers
        flushes = CounterMetricFamily("sidecar_flushes", "Flushes, by what caused them.", labels=["cause"])
        for cause, count in list(ledger.flushes.items()):
            flushes.add_metric([cause], count)
        yield flushes
        yield _gauge("sidecar_series", "Distinct series in the last hour.", self._series())
        text = "Longest time in the last one to two minutes that the event loop did not come round."
        yield _gauge("sidecar_loop_stall_seconds", text, self._stall_seconds())
        if self._checkpoint_age is not None:
            text = "Seconds since open windows were kept in the spool: what a crash would cost now."
            yield _gauge("sidecar_checkpoint_age_seconds", text, self._checkpoint_age())
        if self._health.spool is not None:
            text = "Spool files found damaged and set aside. Loss, until somebody exports them."
            yield _counter("sidecar_spool_set_aside", text, self._health.spool()["set_aside"])
        build = GaugeMetricFamily("sidecar_build_info", "Always 1; the version is the label.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _requests(self) -> Iterator[Metric]:
        requests = self._ledger.requests
        outcomes = CounterMetricFamily(
            "sidecar_requests", "Requests to the destination, by outcome.", labels=["operation", "outcome"]
        )
        for (operation, outcome), count in list(requests.outcomes.items()):
            outcomes.add_metric([operation, outcome], count)
        yield outcomes
        seconds = HistogramMetricFamily(
            "sidecar_request_seconds", "How long requests to the destination took.", labels=["operation"]
        )
        for operation, counts in list(requests.seconds.items()):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*REQUEST_SECONDS_BUCKETS, "+Inf"), counts, strict=True):
                total += count
                buckets.append((str(bound), total))
            seconds.add_metric([operation], buckets, requests.total_seconds[operation])
        yield seconds


def _signal(name: str, account: SignalLedger) -> Iterator[Metric]:
    words = name.replace("_", " ")
    received = CounterMetricFamily(f"sidecar_{name}_received", f"The {words} that arrived.", labels=["input"])
    for input_, units in list(account.received.items()):
        received.add_metric([input_], units)
    yield received
    yield _counter(f"sidecar_{name}_recovered", f"The {words} found in the spool at start-up.", account.recovered)
    yield _counter(f"sidecar_{name}_delivered", f"The {words} the destination has.", account.delivered)
    dropped = CounterMetricFamily(f"sidecar_{name}_dropped", f"The {words} lost, by reason. Loss.", labels=["reason"])
    for reason, units in list(account.dropped.items()):
        dropped.add_metric([reason.value], units)
    yield dropped
    yield _gauge(f"sidecar_{name}_pending", f"The {words} accepted and not yet delivered.", account.pending)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _up(delivery: DeliveryHealth) -> int:
    return 0 if delivery.up is False else 1
