"""The table of self-metrics: `/metrics`, `/stats` and the table of `docs/figures.md` are all made from it.

A new self-metric is one `Figure` in `FIGURES`. Values are read at each scrape, from the ledger's plain integers: a
counter with a lock at every increment would cost more than the rest of a line on the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from sidecar import __version__
from sidecar.model.errors import ASKED_FOR, Reason
from sidecar.observe.figure import Figure, Histogram, Labels, Sources, Values
from sidecar.observe.health import DeliveryHealth
from sidecar.observe.ledger import REQUEST_SECONDS_BUCKETS, SignalLedger


def _one(value: float) -> Values:
    return [((), value)]


def _by_signal(metrics: float, logs: float) -> Values:
    return [(("metrics",), metrics), (("logs",), logs)]


class _Row(NamedTuple):
    """A figure of one signal's account, without the signal's name: see `Figure`."""

    suffix: str
    kind: Literal["counter", "gauge"]
    help: str
    read: Callable[[SignalLedger], Values]
    path: str
    labels: Labels = ()
    loss: bool = False
    no_loss: tuple[str, ...] = ()
    total_path: str = ""


def _by_label(counts: Mapping[str, int] | Mapping[Reason, int]) -> Values:
    return [((str(label),), units) for label, units in list(counts.items())]


_ACCOUNT: Final = (  # received + recovered = delivered + pending + dropped
    _Row(
        "received_total",
        "counter",
        "received, refused ones included.",
        lambda account: _by_label(account.received),
        "received_by_input",
        labels=("input",),
        total_path="received",
    ),
    _Row("recovered_total", "counter", "found in the spool at start-up.", lambda a: _one(a.recovered), "recovered"),
    _Row("delivered_total", "counter", "that the destination accepted.", lambda a: _one(a.delivered), "delivered"),
    _Row(
        "dropped_total",
        "counter",
        "dropped, by reason.",
        lambda account: _by_label(account.dropped),
        "dropped_by_reason",
        labels=("reason",),
        loss=True,
        no_loss=ASKED_FOR,
        total_path="dropped",
    ),
    _Row("pending", "gauge", "accepted and not yet delivered.", lambda account: _one(account.pending), "pending"),
)


def _account(name: str, words: str, account: Callable[[Sources], SignalLedger]) -> Iterator[Figure]:
    """The figures of one signal's account."""
    for row in _ACCOUNT:
        yield Figure(
            f"sidecar_{name}_{row.suffix}",
            row.kind,
            f"{words} {row.help}",
            lambda sources, row=row: row.read(account(sources)),  # type: ignore[misc]  # its default is the row
            labels=row.labels,
            loss=row.loss,
            no_loss=row.no_loss,
            path=f"{name}.{row.path}",
            total_path=row.total_path and f"{name}.{row.total_path}",
        )


def _request_seconds(sources: Sources) -> Values:
    requests = sources.ledger.requests
    for operation, counts in list(requests.seconds.items()):
        total = 0
        buckets: list[tuple[str, int]] = []
        for bound, count in zip((*REQUEST_SECONDS_BUCKETS, "+Inf"), counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        yield (operation,), Histogram(buckets, requests.total_seconds[operation])


def _memory() -> Iterator[Figure]:
    most = "Bytes beyond which the oldest leave memory: the signal's share of `deliver.memory_bytes`."
    for index, (key, text) in enumerate((("bytes", "Bytes of closed batches in memory."), ("max_bytes", most))):
        yield Figure(
            f"sidecar_memory_{key}",
            "gauge",
            text,
            lambda sources, index=index: [((signal,), of[index]) for signal, of in sources.memory().items()],  # type: ignore[misc]
            labels=("signal",),
            unit="bytes",
            path=f"delivery.memory_{key}",
        )


def _spool(key: str) -> Callable[[Sources], Values]:
    return lambda sources: [] if sources.health.spool is None else _one(sources.health.spool()[key])


def _spool_gauges() -> Iterator[Figure]:
    for key, unit, text in (
        ("durable", "", "1 while the spool can be written, 0 while what is not delivered is in memory only."),
        ("bytes", "bytes", "Bytes in the spool."),
        ("max_bytes", "bytes", "Bytes beyond which the oldest batches are dropped: `deliver.spool_max_bytes`."),
    ):
        yield Figure(f"sidecar_spool_{key}", "gauge", text, _spool(key), unit=unit, path=f"spool.{key}" if unit else "")


def _up(delivery: DeliveryHealth) -> int:
    return 0 if delivery.up is False else 1


def _slowed(delivery: DeliveryHealth) -> int:
    return 0 if delivery.rate_limit() is None else 1


FIGURES: Final[tuple[Figure, ...]] = (
    *_account("samples", "Samples", lambda sources: sources.ledger.samples),
    *_account("log_events", "Log events", lambda sources: sources.ledger.log_events),
    Figure(
        "sidecar_datagrams_read_total",
        "counter",
        "Datagrams read from the sockets.",
        lambda sources: _one(sources.ledger.datagrams.read),
        path="datagrams.read",
    ),
    Figure(
        "sidecar_datagrams_discarded_total",
        "counter",
        "Datagrams still unread when the drain closed the sockets.",
        lambda sources: _one(sources.ledger.datagrams.discarded),
        loss=True,
        path="datagrams.discarded",
    ),
    Figure(
        "sidecar_datagrams_kernel_dropped_total",
        "counter",
        "Datagrams that the kernel dropped because the receive buffer was full; only on Linux.",
        lambda sources: [] if (drops := sources.ledger.datagrams.kernel_dropped()) is None else _one(drops),
        loss=True,
        path="datagrams.kernel_dropped",
    ),
    Figure(
        "sidecar_ambiguous_total",
        "counter",
        "Samples and log events sent again although they may have been stored: possible duplicates.",
        lambda sources: _by_signal(sources.ledger.samples.ambiguous, sources.ledger.log_events.ambiguous),
        labels=("signal",),
        path="{signal}.ambiguous",
    ),
    Figure(
        "sidecar_delivery_up",
        "gauge",
        "0 while requests of the signal fail, else 1.",
        lambda sources: _by_signal(_up(sources.health.metrics), _up(sources.health.logs)),
        labels=("signal",),
    ),
    Figure(
        "sidecar_delivery_slowed",
        "gauge",
        "1 while requests are spaced because the service throttled one in the last 30 seconds, else 0.",
        lambda sources: _by_signal(_slowed(sources.health.metrics), _slowed(sources.health.logs)),
        labels=("signal",),
    ),
    Figure(
        "sidecar_requests_total",
        "counter",
        "Requests to the destination, by outcome.",
        lambda sources: list(sources.ledger.requests.outcomes.items()),
        labels=("operation", "outcome"),
        path="delivery.requests",
    ),
    Figure(
        "sidecar_request_seconds",
        "histogram",
        "Duration of requests to the destination.",
        _request_seconds,
        labels=("operation",),
        unit="seconds",
        path="delivery.request_seconds",
    ),
    Figure(
        "sidecar_http_responses_total",
        "counter",
        "Responses of the ingest listener, and refusals of the admin listener; 429 is backpressure.",
        lambda sources: [((route, str(code)), n) for (route, code), n in list(sources.ledger.responses.items())],
        labels=("route", "code"),
        path="responses",
    ),
    Figure(
        "sidecar_adjusted_total",
        "counter",
        "Samples and log events accepted with a change: cut, folded, repaired, a field ignored.",
        lambda sources: [((kind,), units) for kind, units in list(sources.ledger.adjusted.items())],
        labels=("kind",),
        path="adjusted",
    ),
    Figure(
        "sidecar_rule_hits_total",
        "counter",
        "Samples and log events that a rule of the configuration applied to, since the rules were loaded.",
        lambda sources: [((rule,), hits) for rule, hits in sources.rule_hits()],
        labels=("rule",),
    ),
    Figure(
        "sidecar_flushes_total",
        "counter",
        "Flushes, by what caused them: timer, threshold or drain.",
        lambda sources: list(sources.ledger.flushes.items()),
        labels=("signal", "cause"),
        path="flushes",
    ),
    Figure(
        "sidecar_reloads_total",
        "counter",
        "Reloads of the configuration file, by outcome: applied, unchanged (its rules are those in effect) or refused.",
        lambda sources: [((outcome,), reloads) for outcome, reloads in list(sources.ledger.reloads.items())],
        labels=("outcome",),
        path="configuration.reloads",
    ),
    Figure(
        "sidecar_series",
        "gauge",
        "Distinct series in the last hour.",
        lambda sources: _one(sources.series()),
        path="series.known",
    ),
    Figure(
        "sidecar_series_max",
        "gauge",
        "Distinct series in an hour beyond which new ones are folded: `metrics.max_series`.",
        lambda sources: [] if sources.max_series is None else _one(sources.max_series),
        path="series.max",
    ),
    *_memory(),
    Figure(
        "sidecar_cost_dollars_per_month",
        "gauge",
        "Estimate of what is sent, by list price: metrics, requests, logs (ingested), log_storage.",
        lambda sources: [((kind,), dollars) for kind, dollars in sources.cost().items()],
        labels=("kind",),
        path="cost.dollars_per_month",
    ),
    Figure(
        "sidecar_loop_stall_seconds",
        "gauge",
        "Longest event-loop stall in the last two minutes.",
        lambda sources: _one(sources.stall_seconds()),
        unit="seconds",
        path="loop_stall_seconds",
    ),
    Figure(
        "sidecar_checkpoint_age_seconds",
        "gauge",
        "Seconds since open windows were last written to the spool: what a crash would lose now.",
        lambda sources: [] if sources.checkpoint_age is None else _one(sources.checkpoint_age()),
        unit="seconds",
        path="spool.checkpoint_age_seconds",
    ),
    *_spool_gauges(),
    Figure(
        "sidecar_spool_set_aside_total",
        "counter",
        "Damaged spool files set aside; their content is lost unless it is exported.",
        _spool("set_aside"),
        loss=True,
        path="spool.set_aside",
    ),
    Figure(
        "sidecar_log_lines_dropped_total",
        "counter",
        "Log lines dropped because standard error was full, closed or not read.",
        lambda sources: _one(sources.log_lines_dropped()),
        path="log_lines_dropped",
    ),
    Figure(
        "sidecar_build_info",
        "gauge",
        "Always 1; the version is the label.",
        lambda _: [((__version__,), 1)],
        labels=("version",),
    ),
)
