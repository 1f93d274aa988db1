"""The table of figures: what it lists is what `/metrics` and `/stats` show, and nothing needs to be written twice."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from sidecar.model.errors import Reason
from sidecar.observe.figure import Figure, Sources
from sidecar.observe.figures import FIGURES
from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger
from sidecar.observe.prometheus import FiguresCollector
from sidecar.observe.stats import Stats

# /stats shows what they come from.
BY_STATE = {
    "sidecar_delivery_up",
    "sidecar_delivery_slowed",
    "sidecar_spool_durable",
    "sidecar_build_info",
    "sidecar_rule_hits_total",
}


def sources() -> Sources:
    """A daemon with a spool that has counted something of everything."""
    ledger, health = Ledger(), Health()
    for number, account in enumerate((ledger.samples, ledger.log_events)):
        account.received["statsd"] += 10 + number
        account.received["http"] += 5
        account.recovered, account.delivered, account.ambiguous = 1, 6, 2 + number
        account.dropped[Reason.MALFORMED_LINE] += 3
        account.holders.append(lambda: 7)
    ledger.datagrams.read, ledger.datagrams.discarded = 8, 1
    ledger.datagrams.receivers.append(lambda: 4)
    ledger.requests.observe("PutMetricData", "ok", 0.3)
    ledger.responses["/ingest/logs", 202] += 4
    ledger.adjusted["unknown_field"] += 1
    ledger.flushes["metrics", "timer"] += 1
    health.spool = lambda: {"durable": True, "bytes": 5, "max_bytes": 6, "set_aside": 2}
    held = {"metrics": (10, 100), "logs": (20, 300)}
    return Sources(
        ledger,
        health,
        lambda: 9,
        lambda: 0.25,
        lambda: 0.5,
        lambda: 3,
        lambda: [("logs.routes.0", 4)],
        max_series=20,
        memory=lambda: held,
        cost=lambda: {"metrics": 30.0, "requests": 0.44},
    )


async def stats(read: Sources, figures: tuple[Figure, ...] = FIGURES) -> dict[str, Any]:
    async def nothing() -> None:
        return None

    queues: dict[str, list[None]] = {"metrics": [], "logs": []}
    shown = Stats("local", read, open_accumulators=lambda: 3, queues=queues, totals=nothing, figures=figures)
    return await shown.summary()


def exposed(read: Sources, figures: tuple[Figure, ...] = FIGURES) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FiguresCollector(read, figures))
    return generate_latest(registry).decode()


def test_names_are_unique_and_follow_the_conventions_of_prometheus() -> None:
    names = [figure.name for figure in FIGURES]

    assert len(set(names)) == len(names)
    for figure in FIGURES:
        assert figure.name.startswith("sidecar_")
        assert figure.name.endswith("_total") == (figure.kind == "counter")
        assert figure.name.endswith("_seconds") == (figure.unit == "seconds")
        assert figure.name.endswith("_bytes") == (figure.unit == "bytes")
        assert figure.help.endswith(".")


async def test_stats_shows_every_figure_but_those_it_shows_as_a_state() -> None:
    shown = await stats(sources())

    assert {figure.name for figure in FIGURES if not figure.path} == BY_STATE
    for account, name in ((sources().ledger.samples, "samples"), (sources().ledger.log_events, "log_events")):
        assert shown[name] == account.summary()
    assert shown["datagrams"] == {"read": 8, "discarded": 1, "kernel_dropped": 4}
    assert shown["delivery"]["requests"] == {"PutMetricData": {"ok": 1}}
    assert shown["delivery"]["request_seconds"] == {"PutMetricData": {"count": 1, "sum": 0.3}}
    assert shown["responses"] == {"/ingest/logs": {"202": 4}}
    assert shown["adjusted"] == {"unknown_field": 1}
    assert shown["flushes"] == {"metrics": {"timer": 1}}
    assert shown["series"] == {"open": 3, "known": 9, "max": 20}
    assert shown["delivery"]["memory_bytes"] == {"metrics": 10, "logs": 20}
    assert shown["delivery"]["memory_max_bytes"] == {"metrics": 100, "logs": 300}
    assert shown["loop_stall_seconds"] == 0.25
    assert shown["log_lines_dropped"] == 3
    assert shown["cost"] == {"dollars_per_month": {"metrics": 30.0, "requests": 0.44}}
    assert shown["spool"] == sources().health.spool() | {"checkpoint_age_seconds": 0.5}  # type: ignore[misc]


async def test_stats_of_a_daemon_that_did_nothing_has_every_key() -> None:
    """Who reads it need not ask whether a key is there; what is not available is null or has no section."""
    shown = await stats(Sources(Ledger(), Health(), lambda: 0, lambda: 0.0))

    assert shown["samples"] == Ledger().samples.summary()
    assert shown["datagrams"] == {"read": 0, "discarded": 0, "kernel_dropped": None}
    assert shown["adjusted"] == shown["flushes"] == shown["responses"] == shown["delivery"]["requests"] == {}
    assert "spool" not in shown


def test_figures_that_a_daemon_without_a_spool_lacks_are_left_out_and_not_zero() -> None:
    """`sidecar_spool_durable 0` would be an alert."""
    lacking = exposed(Sources(Ledger(), Health(), lambda: 0, lambda: 0.0))
    text = exposed(sources())

    for name in ("sidecar_spool_durable", "sidecar_spool_bytes", "sidecar_spool_max_bytes", "sidecar_series_max"):
        assert f"\n{name} " in text
        assert f"\n{name} " not in lacking
    assert 'sidecar_memory_max_bytes{signal="logs"} 300.0\n' in text


async def test_a_new_row_is_all_that_a_new_figure_needs() -> None:
    row = Figure(
        "sidecar_example_total",
        "counter",
        "An example.",
        lambda read: [(("a",), read.ledger.datagrams.read), (("b",), 1)],
        labels=("kind",),
        loss=True,
        path="examples.by_kind",
        total_path="examples.total",
    )

    text = exposed(sources(), (row,))
    assert "# HELP sidecar_example_total An example. Loss.\n# TYPE sidecar_example_total counter\n" in text
    assert 'sidecar_example_total{kind="a"} 8.0\nsidecar_example_total{kind="b"} 1.0\n' in text
    assert (await stats(sources(), (row,)))["examples"] == {"by_kind": {"a": 8, "b": 1}, "total": 9}


def test_what_rules_asked_for_is_no_loss() -> None:
    text = exposed(sources())

    for name in ("samples", "log_events"):
        (help_,) = [line for line in text.splitlines() if line.startswith(f"# HELP sidecar_{name}_dropped_total ")]
        assert help_.endswith("Loss, except rule, sampled, redacted.")
    assert 'sidecar_rule_hits_total{rule="logs.routes.0"} 4.0' in text


def test_openmetrics_names_the_unit_of_what_has_one() -> None:
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FiguresCollector(sources()))

    assert "# UNIT sidecar_loop_stall_seconds seconds\n" in encode(registry).decode()
