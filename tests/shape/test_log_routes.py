"""Sampling by routes: whole requests, the share, the weight."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.events import LogEvent
from sidecar.shape.log_routes import Route, weighted

EVENTS: Final = 20_000


def event(fields: dict[str, Any]) -> LogEvent:
    return LogEvent(None, json.dumps(fields), fields)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_by_a_field_all_or_none_of_a_request_are_delivered(rate: float) -> None:
    one, other = Route(None, rate=rate, by="request.id"), Route(None, rate=rate, by="request.id")
    delivered = 0
    for number in range(EVENTS):
        fields = {"request": {"id": f"r-{number}"}}
        out = {route.sampled_out(event(fields)) for route in (one, one, other)}
        assert len(out) == 1
        delivered += out == {False}

    assert abs(delivered - rate * EVENTS) < 4 * (EVENTS * rate) ** 0.5


@given(st.floats(0.001, 1.0), st.integers(1, 300))
def test_without_a_field_every_so_many_events_one_is_delivered(rate: float, events: int) -> None:
    route = Route(None, rate=rate, by="absent")
    delivered = sum(not route.sampled_out(event({"n": n})) for n in range(events))

    assert abs(delivered - rate * events) <= 1.0


def test_an_event_that_is_delivered_has_its_weight() -> None:
    one = event({"a": 1})
    assert Route(None, rate=0.6).sampled_out(one) is False
    assert json.loads(one.message) == {"a": 1, "sample_weight": 1 / 0.6}


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        ('{"a": 1}', {"a": 1}, '{"a": 1,"sample_weight":10}'),
        ('{"a": 1} \n', {"a": 1}, '{"a": 1,"sample_weight":10}'),
        ("plain }", {}, "plain }"),
        ('{"sample_weight": 2}', {"sample_weight": 2}, '{"sample_weight": 2}'),
    ],
)
def test_the_weight_is_a_field_of_a_json_event(message: str, fields: dict[str, object], expected: str) -> None:
    assert weighted(message, fields, 10.0) == expected


def test_a_rate_of_one_delivers_all_as_they_came() -> None:
    one = event({"a": 1})
    assert [Route(None, rate=rate).sampled_out(one) for rate in (1.0, None)] == [False, False]
    assert one.message == '{"a": 1}'
