"""The ledger and its exposition: plain integers that add up, under the names that dashboards rely on."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from sidecar import __version__
from sidecar.model.errors import Reason
from sidecar.observe.figure import Sources
from sidecar.observe.health import Health
from sidecar.observe.ledger import REQUEST_SECONDS_BUCKETS, Ledger, RequestLedger, SignalLedger
from sidecar.observe.prometheus import FiguresCollector

NAME: Final = "sidecar_request_seconds"

Labels = tuple[tuple[str, str], ...]


def registry(ledger: Ledger, health: Health | None = None) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(FiguresCollector(Sources(ledger, health or Health(), lambda: 7, lambda: 0.25)))
    return made


def scrape(ledger: Ledger, health: Health | None = None) -> dict[tuple[str, Labels], float]:
    """{(name, labels): value}, as a scraper reads it."""
    text = generate_latest(registry(ledger, health)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# --- the account ----------------------------------------------------------------------------------


def test_pending_is_asked_of_those_who_hold() -> None:
    account = SignalLedger()
    held = [3, 4]
    account.holders += [lambda: held[0], lambda: held[1]]
    assert account.pending == 7
    held[1] = 0

    assert account.pending == 3


def test_the_summary_shows_every_column_of_the_equation() -> None:
    account = SignalLedger()
    account.received["statsd"] += 10
    account.received["http"] += 5
    account.delivered += 9
    account.dropped[Reason.MALFORMED_LINE] += 2
    account.dropped[Reason.MEMORY_FULL] += 1
    account.ambiguous += 4
    account.holders.append(lambda: 3)

    assert account.summary() == {
        "received": 15,
        "received_by_input": {"statsd": 10, "http": 5},
        "recovered": 0,
        "delivered": 9,
        "pending": 3,
        "dropped": 3,
        "dropped_by_reason": {"malformed_line": 2, "memory_full": 1},
        "ambiguous": 4,
    }


def test_a_new_account_is_empty_and_balanced() -> None:
    summary = SignalLedger().summary()

    assert not any(summary.values())


def test_two_accounts_share_nothing() -> None:
    ledger = Ledger()
    ledger.samples.received["json_udp"] += 1
    ledger.samples.holders.append(lambda: 1)

    assert not any(ledger.log_events.summary().values())


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(REQUEST_SECONDS_BUCKETS)))
def test_a_request_that_took_a_buckets_bound_is_in_that_bucket(index: int) -> None:
    """Prometheus buckets are "less or equal"."""
    requests = RequestLedger()
    requests.observe("PutMetricData", "ok", REQUEST_SECONDS_BUCKETS[index])

    assert requests.seconds["PutMetricData"].index(1) == index


def test_what_takes_longer_than_every_bound_is_counted_all_the_same() -> None:
    requests = RequestLedger()
    requests.observe("PutMetricData", "timeout", 3_600.0)

    assert requests.seconds["PutMetricData"] == [0] * len(REQUEST_SECONDS_BUCKETS) + [1]
    assert requests.total_seconds["PutMetricData"] == 3_600.0


@given(st.lists(st.tuples(st.sampled_from(["PutMetricData", "PutLogEvents"]), st.floats(0.0, 60.0)), max_size=50))
def test_buckets_are_cumulative_and_end_with_every_request(observed: list[tuple[str, float]]) -> None:
    ledger = Ledger()
    for operation, seconds in observed:
        ledger.requests.observe(operation, "ok", seconds)

    values = scrape(ledger)

    for operation in {name for name, _ in observed}:
        took = [seconds for name, seconds in observed if name == operation]
        label = ("operation", operation)
        for bound in (*map(str, REQUEST_SECONDS_BUCKETS), "+Inf"):
            below = sum(seconds <= float(bound) for seconds in took)
            assert values[f"{NAME}_bucket", (("le", bound), label)] == below
        assert values[f"{NAME}_count", (label,)] == len(took)
        assert values[f"{NAME}_sum", (label,)] == pytest.approx(sum(took))
        assert values["sidecar_requests_total", (label, ("outcome", "ok"))] == len(took)


# --- the exposition -------------------------------------------------------------------------------


def full() -> Ledger:
    ledger = Ledger()
    ledger.samples.received["statsd"] += 10
    ledger.samples.delivered = 6
    ledger.samples.dropped[Reason.MALFORMED_LINE] += 3
    ledger.samples.holders.append(lambda: 1)
    ledger.samples.ambiguous = 2
    ledger.log_events.received["http"] += 4
    ledger.log_events.delivered = 4
    ledger.datagrams.read = 8
    ledger.requests.observe("PutMetricData", "throttle", 0.3)
    ledger.responses["/ingest/logs", 202] += 4
    ledger.adjusted["unknown_field"] += 1
    ledger.flushes["metrics", "timer"] += 1
    return ledger


def test_every_figure_is_exposed_under_its_name() -> None:
    values = scrape(full())

    expected: dict[tuple[str, Labels], float] = {
        ("sidecar_samples_received_total", (("input", "statsd"),)): 10,
        ("sidecar_samples_recovered_total", ()): 0,
        ("sidecar_samples_delivered_total", ()): 6,
        ("sidecar_samples_dropped_total", (("reason", "malformed_line"),)): 3,
        ("sidecar_samples_pending", ()): 1,
        ("sidecar_log_events_received_total", (("input", "http"),)): 4,
        ("sidecar_log_events_delivered_total", ()): 4,
        ("sidecar_log_events_pending", ()): 0,
        ("sidecar_datagrams_read_total", ()): 8,
        ("sidecar_ambiguous_total", (("signal", "metrics"),)): 2,
        ("sidecar_ambiguous_total", (("signal", "logs"),)): 0,
        ("sidecar_requests_total", (("operation", "PutMetricData"), ("outcome", "throttle"))): 1,
        ("sidecar_http_responses_total", (("code", "202"), ("route", "/ingest/logs"))): 4,
        ("sidecar_adjusted_total", (("kind", "unknown_field"),)): 1,
        ("sidecar_flushes_total", (("cause", "timer"), ("signal", "metrics"))): 1,
        ("sidecar_series", ()): 7,
        ("sidecar_loop_stall_seconds", ()): 0.25,
        ("sidecar_build_info", (("version", __version__),)): 1,
    }
    assert {key: values.get(key) for key in expected} == expected


def test_every_name_is_ours() -> None:
    assert all(name.startswith("sidecar_") for name, _ in scrape(full()))


def test_the_openmetrics_form_says_the_same() -> None:
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    text = encode(registry(full())).decode()
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read_openmetrics(text)  # type: ignore[no-untyped-call]  # prometheus_client has no type for it
        for sample in family.samples
    }

    assert values == scrape(full())


def test_delivery_is_up_until_a_request_fails() -> None:
    health = Health()
    assert scrape(Ledger(), health)["sidecar_delivery_up", (("signal", "metrics"),)] == 1
    health.metrics.failed(1.0, "Network: refused", None)

    values = scrape(Ledger(), health)
    assert values["sidecar_delivery_up", (("signal", "metrics"),)] == 0
    assert values["sidecar_delivery_up", (("signal", "logs"),)] == 1


def test_delivery_is_slowed_while_requests_are_limited() -> None:
    health = Health()
    health.logs.rate_limit = lambda: 0.5

    values = scrape(Ledger(), health)
    assert values["sidecar_delivery_slowed", (("signal", "metrics"),)] == 0
    assert values["sidecar_delivery_slowed", (("signal", "logs"),)] == 1


def test_what_the_system_cannot_tell_is_left_out_rather_than_zero() -> None:
    """A kernel without the counter is not a kernel that dropped nothing."""
    ledger = Ledger()
    assert ("sidecar_datagrams_kernel_dropped_total", ()) not in scrape(ledger)
    ledger.datagrams.receivers.append(lambda: 5)

    assert scrape(ledger)["sidecar_datagrams_kernel_dropped_total", ()] == 5


def test_a_scrape_changes_nothing() -> None:
    ledger = full()

    assert scrape(ledger) == scrape(ledger)
