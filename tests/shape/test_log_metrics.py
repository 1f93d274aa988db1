"""Metrics from log events: which sample a rule makes of an event."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.model.samples import Kind, Sample
from sidecar.model.template import Template
from sidecar.shape.log_metrics import LogMetric
from sidecar.shape.rewrite import Rewriting, Step


def metric(kind: Kind = Kind.SAMPLE, value: str | None = "latency_ms", **dimensions: str) -> LogMetric:
    templates = {name: Template(text, "host-1", {"Environment": "prod"}) for name, text in dimensions.items()}
    return LogMetric(0, None, "Latency", kind, value, templates, namespace="App", unit="Milliseconds", resolution=1)


def sample(rule: LogMetric, timestamp: float | None = None, **fields: Any) -> Sample | None:
    value = rule.measure(fields)
    return None if isinstance(value, bool) else rule.sample(value, rule.dimensions(fields), timestamp)


def test_an_event_is_counted() -> None:
    assert sample(metric(Kind.COUNTER, None)) == Sample(
        "Latency", Kind.COUNTER, (1.0,), (1.0,), unit="Milliseconds", namespace="App", resolution=1
    )


def test_a_value_is_read_with_its_time_and_dimensions_sorted() -> None:
    rule = metric(Kind.TIMER, "http.latency_ms", Service="{service}", Environment="{Environment}", Fixed="x-{model}")
    one = sample(rule, 1.5, http={"latency_ms": 12}, service="api")

    assert one is not None
    assert (one.kind, one.values, one.weights, one.timestamp) == (Kind.TIMER, (12.0,), (1.0,), 1.5)
    assert one.dimensions == (("Environment", "prod"), ("Fixed", "x-unknown"), ("Service", "api"))


def test_a_set_counts_what_is_distinct() -> None:
    one = sample(metric(Kind.SET, "user"), user=7)

    assert one is not None
    assert (one.values, one.members, one.size) == ((), ("7",), 1)


@pytest.mark.parametrize("value", ["12", True, [1], {"a": 1}, 1e200, "x"])
def test_a_field_that_is_no_number_makes_no_sample_and_is_known_as_such(value: object) -> None:
    rule = metric()

    assert sample(rule, latency_ms=value) is None
    assert rule.measure({"latency_ms": value}) is True


@pytest.mark.parametrize("fields", [{}, {"latency_ms": None}])
def test_an_event_without_the_field_makes_no_sample(fields: dict[str, object]) -> None:
    rule = metric()

    assert sample(rule, None, **fields) is None
    assert rule.measure(fields) is False


def test_keys_are_equal_where_metric_and_dimensions_are() -> None:
    one, other = metric(A="{a}", B="{b}"), LogMetric(1, None, "Latency", Kind.SAMPLE, None, {})
    keys = [one.key(dimensions) for dimensions in (("a", "b"), ("a", "b"), ("ab", ""), ("", "ab"))]

    assert keys[0] == keys[1]
    assert len({*keys, other.key(())}) == 4


def test_a_value_is_scaled_and_its_product_has_to_be_in_range() -> None:
    rule = LogMetric(0, None, "Dollars", Kind.COUNTER, "tokens", {}, scale=3e-6)

    assert rule.measure({"tokens": 1_000}) == 0.003
    assert rule.measure({"tokens": 10**400}) is True
    assert LogMetric(0, None, "Ms", Kind.TIMER, "s", {}, scale=1e9).measure({"s": 1e108}) is True


def test_dimensions_are_rewritten_and_the_sample_has_its_rollups() -> None:
    templates = {name: Template("{path}", "h", {}) for name in ("Endpoint", "Raw")}
    rewritings = {"Endpoint": Rewriting([Step("/[0-9]+", "/:id")])}
    rule = LogMetric(0, None, "R", Kind.COUNTER, None, templates, rewritings=rewritings, rollups=(("Raw",), ()))
    one = sample(rule, path="/a/7")

    assert one is not None
    assert one.dimensions == (("Endpoint", "/a/:id"), ("Raw", "/a/7"))
    assert one.rollups == (("Raw",), ())
