"""A shape is one value: built from the configuration, and replaced while events come in."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Config
from sidecar.model.events import LogEvent
from sidecar.model.samples import Kind, Sample
from sidecar.pipeline.shaping import make_shape
from sidecar.shape.shape import Shape
from tests.support.pipeline import Rig, done, run

SECONDS = {"rules": [{"match": "a", "unit": "Seconds"}]}


def shape(before: Shape | None = None, **sections: Any) -> Shape:
    return make_shape(Config.model_validate(sections), "host-1", {"TEAM": "blue"}, before=before)


def units(rig: Rig) -> list[str]:
    rig.flush()
    return [datum["Unit"] for datum in rig.datums()]


def test_a_shape_can_be_asked_what_becomes_of_a_sample_without_a_daemon() -> None:
    """As `explain` does."""
    one = shape(
        namespace="App",
        dimensions={"Env": "prod"},
        metrics={"rules": [{"match": "a*", "unit": "Bytes", "percentiles": False}], "replace_invalid": "_"},
    )
    shaped = one.shape(Sample("añ", Kind.TIMER, (1.0,), (1.0,), dimensions=(("Service", "api"),)), 0.0)

    assert shaped.series == ("App", "a_", (("Env", "prod"), ("Service", "api")), "Bytes", 60)
    assert (shaped.percentiles, shaped.repaired, shaped.folded) == (False, True, False)


def test_a_shape_can_be_asked_where_a_log_event_goes() -> None:
    one = shape(dimensions={"Env": "prod"}, logs={"group": "/{Env}/{service}", "stream": "{hostname}-{TEAM}"})

    assert one.router.route(LogEvent(None, "m", {"service": "api"}), 0.0) == ("/prod/api", "host-1-blue")


def test_a_sample_over_the_cap_is_folded() -> None:
    one = shape(metrics={"max_series": 1})
    first, second = (
        one.shape(Sample("a", Kind.COUNTER, (1.0,), (1.0,), dimensions=(("User", user),)), 0.0) for user in ("u1", "u2")
    )

    assert (first.folded, second.folded) == (False, True)
    assert second.series.dimensions == (("User", "__other__"),)


def test_another_shape_takes_effect_with_the_next_event_though_events_like_it_came_before() -> None:
    rig = Rig()
    metric = orjson.dumps({"name": "a", "value": 1})
    for _ in range(2):
        rig.send(b"a:1|c\na:2|c")
        done(rig.pipeline.ingest_metrics(metric, "application/json"))
    rig.pipeline.shape = make_shape(
        rig.config.model_copy(update={"metrics": Config.model_validate({"metrics": SECONDS}).metrics}),
        "host-1",
        {},
        before=rig.pipeline.shape,
    )
    assert set(units(rig)) == {"Count", "None"}
    rig.metrics.batches.clear()
    rig.send(b"a:1|c\na:2|c")
    done(rig.pipeline.ingest_metrics(metric, "application/json"))

    assert set(units(rig)) == {"Seconds"}


def test_open_windows_and_buffers_outlive_a_shape_and_log_events_follow_the_new_one() -> None:
    rig = Rig()
    rig.send(b"a:1|c")
    done(rig.pipeline.ingest_logs(b'{"message": "old"}', "application/json"))
    rig.pipeline.shape = shape(before=rig.pipeline.shape, logs={"group": "/new", "stream": "s"}, metrics=SECONDS)
    rig.send(b"a:1|c")
    done(rig.pipeline.ingest_logs(b'{"message": "new"}', "application/json"))
    run(rig.pipeline.flush_logs("timer"))

    assert sorted(units(rig)) == ["Count", "Seconds"]
    assert {batch.group for batch in rig.logs.batches} == {"/app", "/new"}
    rig.assert_balanced()


def test_the_series_of_the_last_hour_still_count_in_the_shape_that_follows() -> None:
    rig = Rig(metrics={"max_series": 1})
    rig.send(b"a:1|c|#user:u1")
    rig.pipeline.shape = make_shape(rig.config, "host-1", {}, before=rig.pipeline.shape)
    rig.send(b"a:1|c|#user:u2")

    assert rig.pipeline.series == 2, "the first, and what the second was folded into"
    assert rig.ledger.adjusted["series_folded"] == 1


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.integers(0, 12))
def test_the_streams_of_the_last_hour_still_count_in_the_shape_that_follows(services: list[str], replaced: int) -> None:
    """However many shapes there were: no more destinations than `logs.max_streams`."""
    logs = {"group": "/app", "stream": "{service}", "max_streams": 3}
    one = shape(logs=logs)
    used = set()
    for number, service in enumerate(services):
        if number == replaced:
            one = shape(before=one, logs=logs)
        used.add(one.router.route(LogEvent(None, "m", {"service": service}), 0.0))

    assert len(used) <= 3
