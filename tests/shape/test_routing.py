"""Log groups and streams: templates over fields, overrides, and a bound on how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.events import LogEvent
from sidecar.model.names import group_problem, stream
from sidecar.model.template import Missed, Template
from sidecar.shape.log_routes import Route
from sidecar.shape.routing import IDLE_SECONDS, Destination, Router
from tests.support.strategies import json_values

CONTEXT: Final = {"Environment": "prod", "service": "default-service", "ecs.cluster": "shop", "empty": ""}


def event(fields: dict[str, object] | None = None, **more: Any) -> LogEvent:
    return LogEvent(0, "m", fields or {}, **more)


def rendered(text: str, fields: Mapping[str, object]) -> str:
    return Template(text, "host-1", CONTEXT).render(fields)


def router(group: str = "/app/{service}", stream: str = "{hostname}", max_streams: int = 500) -> Router:
    group_, stream_, events = (Template(text, "host-1", CONTEXT) for text in (group, stream, "/events"))
    return Router(group_, stream_, events, max_streams)


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("/plain", {}, "/plain"),
        ("{hostname}", {"hostname": "another"}, "host-1"),
        ("/a/{Environment}/{service}", {"service": "api"}, "/a/prod/api"),
        ("/a/{service}", {}, "/a/default-service"),
        ("/a/{service}", {"service": ""}, "/a/default-service"),
        ("/a/{service}", {"service": None}, "/a/default-service"),
        ("/a/{missing}/b", {}, "/a/unknown/b"),
        ("/a/{missing}", {"missing": {"x": 1}}, "/a/unknown"),
        ("/a/{shard}", {"shard": 7}, "/a/7"),
        ("/a/{shard}", {"shard": 0}, "/a/0"),
        ("/a/{shard}", {"shard": 1.5}, "/a/1.5"),
        ("/a/{shard}", {"shard": True}, "/a/unknown"),
        ("{a}{b}", {"a": "1", "b": "2"}, "12"),
        ("/{a}/", {"a": "{b}", "b": "no"}, "/{b}/"),
        ("/{user.id}", {"user": {"id": 7}}, "/7"),
        ("/{user.id}", {"user": {"id": 7}, "user.id": "top"}, "/top"),
        ("/{user.roles.1}", {"user": {"roles": ["a", "b"]}}, "/b"),
        ("/{user.id}", {"user": "bob"}, "/unknown"),
        ("{user.id}", {}, "unknown"),
        ("/{user.name.first}", {"user": {"name": {"last": "x"}}}, "/unknown"),
        ("/{ecs.cluster}", {}, "/shop"),
        ("/{ecs.cluster}", {"ecs": {"cluster": "of the event"}}, "/of the event"),
        ("/{empty}", {}, "/unknown"),
    ],
)
def test_places_are_filled_from_the_event_then_from_what_is_configured(
    text: str, fields: dict[str, object], expected: str
) -> None:
    assert rendered(text, fields) == expected


def test_each_placeholder_that_nothing_has_the_name_of_is_counted() -> None:
    missed = Missed()
    one = Template("/{a}/{b.c}/{service}", "host-1", CONTEXT, missed)
    rendered = [one.render(fields) for fields in ({}, {"a": 1}, {"a": 1, "b": {"c": "x"}})]

    assert rendered == ["/unknown/unknown/default-service", "/1/unknown/default-service", "/1/x/default-service"]
    assert missed.count == 3
    assert [one.lacks(fields) for fields in ({}, {"a": 1}, {"a": 1, "b": {"c": "x"}})] == [True, True, False]


def test_documents_in_embedded_metric_format_have_their_group_unless_a_route_gives_one() -> None:
    group, stream, events, emf, routed = (
        Template(text, "h", {}) for text in ("/app", "s", "/events", "/emf/{service}", "/routed")
    )
    one = Router(group, stream, events, 10, emf_group=emf)

    assert one.route(event({"service": "a"}, from_emf=True), 0.0).group == "/emf/a"
    assert one.route(event({"service": "a"}), 0.0).group == "/app"
    assert one.route(event({}, from_emf=True, group="/own"), 0.0).group == "/own"
    assert one.route(event({}, from_emf=True), 0.0, Route(None, group=routed)).group == "/routed"
    assert one.route(event({"service": "b"}, from_emf=True), 0.0, Route(None)).group == "/emf/b"


def test_an_event_goes_where_the_templates_say() -> None:
    assert router().route(event({"service": "api"}), 0.0) == ("/app/api", "host-1")


def test_the_events_own_group_and_stream_win() -> None:
    assert router().route(event({"service": "api"}, group="/own", stream="s"), 0.0) == ("/own", "s")
    assert router().route(event({"service": "api"}, group="/own"), 0.0) == ("/own", "host-1")


def test_events_of_dogstatsd_have_a_group_of_their_own() -> None:
    assert router().route(event(from_statsd=True), 0.0) == ("/events", "host-1")


@given(
    st.dictionaries(st.just("service"), json_values, max_size=1),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=600),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=600),
)
def test_whatever_an_event_says_the_destination_is_one_the_service_takes(
    fields: dict[str, object], group: str | None, own_stream: str | None
) -> None:
    place = router().route(event(fields, group=group, stream=own_stream), 0.0)

    assert group_problem(place.group) is None
    assert stream(place.stream) == place.stream != ""


def test_beyond_the_bound_events_go_to_the_default_destination_and_are_counted() -> None:
    one = router(max_streams=3)
    places = [one.route(event({"service": f"s{i}"}), 0.0) for i in range(5)]

    assert places == [("/app/s0", "host-1"), ("/app/s1", "host-1"), *[one.default] * 3]
    assert one.default == Destination("/app/default-service", "host-1")
    assert one.overflowed == 3


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.0, 4_000.0])), max_size=60), st.integers(1, 5))
def test_never_more_destinations_in_use_than_configured(steps: list[tuple[int, float]], max_streams: int) -> None:
    one = router(max_streams=max_streams)
    now, used = 0.0, dict[Destination, float]()
    for number, seconds in steps:
        now += seconds
        used[one.route(event({"service": f"s{number}"}), now)] = now
        recent = {place for place, at in used.items() if at >= now - IDLE_SECONDS}
        assert len(recent | {one.default}) <= max_streams


def test_the_default_destination_needs_no_place() -> None:
    one = router(max_streams=1)

    assert one.route(event(), 0.0) == one.default
    assert one.overflowed == 0


def test_a_destination_idle_for_an_hour_gives_its_place_to_another() -> None:
    one = router(max_streams=2)
    one.route(event({"service": "old"}), 0.0)
    assert one.route(event({"service": "new"}), IDLE_SECONDS) == one.default

    assert one.route(event({"service": "new"}), IDLE_SECONDS + 0.1) == ("/app/new", "host-1")


def test_a_destination_in_use_keeps_its_place() -> None:
    one = router(max_streams=2)
    for hour in range(5):
        assert one.route(event({"service": "steady"}), hour * IDLE_SECONDS).group == "/app/steady"
        assert one.route(event({"service": "new"}), hour * IDLE_SECONDS) == one.default
