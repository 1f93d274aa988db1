"""Rules of log events through the pipeline: where they go, what is counted, and that nothing redacted is anywhere."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.errors import Reason
from sidecar.model.events import Outcome
from sidecar.model.log_groups import GroupSettings, LogGroups
from sidecar.pipeline.shaping import make_shape
from tests.support.pipeline import Inputs, Rig, done, run
from tests.support.strategies import NOW

SECRET: Final = "bob@example.com"
REDACT: Final = [{"find": ["email"]}, {"fields": ["password"]}]


def ingest(rig: Rig, *events: object) -> Outcome:
    return done(rig.pipeline.ingest_logs(orjson.dumps(events), "application/json"))


def messages(rig: Rig) -> dict[str, list[Any]]:
    """The events so far by group, parsed."""
    run(rig.pipeline.flush_logs("timer"))
    found: dict[str, list[Any]] = {}
    for batch in rig.logs.batches:
        texts = [event["message"] for event in orjson.loads(batch.body())["logEvents"]]
        found.setdefault(batch.group, []).extend(orjson.loads(text) if text[0] == "{" else text for text in texts)
    return found


def datum(rig: Rig, name: str) -> dict[str, Any]:
    (found,) = [one for one in rig.datums() if one["MetricName"] == name]
    return found


def test_the_first_route_that_matches_decides() -> None:
    routes = [
        {"when": '{ $.path = "/health*" && $.status < 400 }', "drop": True},
        {"when": {"level": ["error", "fatal"]}, "group": "/{Env}/errors", "stream": "all"},
        {"when": {"service": "*"}, "group": "/{Env}/{service}"},
    ]
    rig = Rig(logs={"routes": routes})
    outcome = ingest(
        rig,
        {"path": "/health/live", "status": 200, "service": "a"},
        {"path": "/health/live", "status": 500, "service": "a"},
        {"level": "error", "service": "a"},
        {"m": "neither"},
        {"log_group": "/own", "level": "error"},
        "a line",
    )
    found = messages(rig)

    assert (outcome.accepted, outcome.rejected) == (6, [])
    assert {group: len(events) for group, events in found.items()} == {
        "/test/a": 1, "/test/errors": 1, "/app": 2, "/own": 1,
    }  # fmt: skip
    assert rig.ledger.log_events.dropped == {Reason.RULE: 1}
    assert [one["hits"] for one in rig.pipeline.rules()["logs"]["routes"]] == [1, 2, 1]
    rig.assert_balanced()


def test_sampled_events_carry_their_weight_and_the_others_are_counted() -> None:
    rig = Rig(logs={"routes": [{"when": {"level": "debug"}, "sample": 0.25, "by": "id"}]})
    ingest(rig, *[{"level": "debug", "id": n // 2} for n in range(400)])
    events = messages(rig)["/app"]

    assert rig.ledger.log_events.dropped == {Reason.SAMPLED: 400 - len(events)}
    assert 50 < len(events) < 150
    assert {event["sample_weight"] for event in events} == {4}
    assert all([event["id"] for event in events].count(one) == 2 for one in {event["id"] for event in events})
    rig.assert_balanced()


def test_metrics_see_events_that_are_dropped_or_sampled_and_are_samples_of_the_ledger() -> None:
    metrics = [
        {"name": "Requests", "dimensions": {"Service": "{service}"}},
        {"when": "{ $.ms >= 0 }", "name": "Latency", "value": "ms", "type": "timer"},
        {"when": {"blocked": True}, "name": "Blocked", "namespace": "Other", "unit": "None"},
        {"name": "Users", "value": "user", "type": "set"},
        {"name": "Broken", "value": "service"},
    ]
    rig = Rig(logs={"metrics": metrics, "routes": [{"when": {"n": 0}, "sample": 0.5}, {"drop": True}]})
    ingest(rig, *[{"service": "api", "ms": n, "n": n % 2, "blocked": n == 3, "user": n % 3} for n in range(10)])
    received = rig.received
    rig.flush()

    assert received == {"logs": 10 + 10 + 1 + 10}
    assert datum(rig, "Requests")["StatisticValues"]["Sum"] == 10.0
    assert datum(rig, "Requests")["Dimensions"] == [
        {"Name": "Env", "Value": "test"},
        {"Name": "Service", "Value": "api"},
    ]
    assert datum(rig, "Latency")["Unit"] == "Milliseconds"
    assert datum(rig, "Latency")["Values"] == [float(n) for n in range(10)]
    assert datum(rig, "Blocked")["Unit"] == "None"
    assert datum(rig, "Users")["Value"] == 3.0
    assert rig.ledger.adjusted["unreadable_metric_value"] == 10
    assert rig.ledger.log_events.dropped[Reason.RULE] == 5
    assert [one["hits"] for one in rig.pipeline.rules()["logs"]["metrics"]] == [10, 10, 1, 10, 10]
    rig.assert_balanced()


def test_a_sample_that_is_refused_costs_the_sample_and_not_the_event() -> None:
    rig = Rig(logs={"metrics": [{"name": "Requests", "dimensions": {"Path": "{path}"}}]})
    ingest(rig, {"path": "/ok"}, {"path": "/ä"}, {"path": "x" * 2_000})

    assert len(messages(rig)["/app"]) == 3
    assert rig.dropped == {Reason.INVALID_DIMENSION: 1, Reason.DIMENSION_TOO_LONG: 1}
    assert rig.received == {"logs": 3}
    rig.assert_balanced()


def test_the_sample_of_an_event_with_a_time_is_of_that_time() -> None:
    rig = Rig(logs={"metrics": [{"name": "Requests"}]})
    ingest(rig, {"m": 1, "timestamp": NOW - 3_600}, {"m": 1, "timestamp": NOW - 90 * 86_400})
    rig.flush()

    assert datum(rig, "Requests")["Timestamp"] == NOW - 3_600 - (NOW - 3_600) % 60
    assert datum(rig, "Requests")["StatisticValues"]["SampleCount"] == 1.0, "the other event was refused"
    rig.assert_balanced()


def test_redaction_comes_before_metrics_routes_and_the_cut() -> None:
    logs = {
        "redact": [*REDACT, {"pattern": "topsecret", "replace": "drop_event"}],
        "metrics": [{"name": "Users", "dimensions": {"User": "{user}"}}],
        "routes": [{"when": {"user": "?email?"}, "group": "/{user}"}],
    }
    rig = Rig(logs=logs)
    long = "x" * 1_048_535 + SECRET  # the limit is within the address
    ingest(
        rig, {"user": SECRET}, {"user": "c", "m": long}, {"log_group": f"/{SECRET}", "password": 1}, {"m": "topsecret"}
    )
    rig.send(orjson.dumps({"message": f"to {SECRET}"}), b"_e{1,15}:t|bob@example.com")
    found = messages(rig)
    rig.flush()
    stored = b"".join(batch.body() for batch in rig.logs.batches)
    stored += b"".join(batch.body() for batch in rig.metrics.batches)

    assert "/_email_" in found, "a group has no brackets"
    assert b"bob@" not in stored
    assert b"topsecret" not in stored
    assert {one["Dimensions"][-1]["Value"] for one in rig.datums()} == {"[email]", "c", "unknown"}
    assert rig.ledger.log_events.dropped == {Reason.REDACTED: 1}
    assert [one["hits"] for one in rig.pipeline.rules()["logs"]["redact"]] == [5, 1, 1]
    rig.assert_balanced()


def test_a_redaction_that_never_hit_is_named_once_and_one_of_which_a_part_hit_is_not() -> None:
    redact = [{"find": ["email", "card", "jwt"]}, {"find": ["aws_key", "bearer"]}, {"fields": ["password"]}]
    rig = Rig(logs={"redact": redact, "routes": [{"when": {"service": "a"}, "group": "/a"}]})
    never = ["logs.redact.0", "logs.redact.1", "logs.redact.2", "logs.routes.0"]
    assert rig.pipeline.rules()["never_hit"] == never

    ingest(rig, {"message": SECRET})
    assert rig.pipeline.rules()["never_hit"] == never[1:]


def test_no_log_line_has_what_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig(logs={"redact": REDACT})
    late = orjson.dumps({"message": SECRET, "password": "hunter2", "timestamp": NOW - 90 * 86_400})
    rig.send(
        late, b'{"message": "' + b"x" * 180 + SECRET.encode() + b'", "timestamp": 1}', b"hits:%b|c" % SECRET.encode()
    )
    ingest(rig, orjson.loads(late))
    shown = capsys.readouterr()

    assert rig.ledger.log_events.dropped[Reason.TIMESTAMP_TOO_OLD] == 3
    assert "refused" in shown.out + shown.err
    for secret in ("bob@", "hunter2"):
        assert secret not in shown.out + shown.err


def test_the_traceback_of_a_bug_has_nothing_that_is_redacted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(logs={"redact": REDACT})

    def fail(*_: object) -> None:
        raise ValueError(f"could not read {SECRET}")

    monkeypatch.setattr(rig.pipeline.shape.router, "route", fail)
    ingest(rig, {"m": "x"})
    shown = capsys.readouterr()

    assert rig.ledger.log_events.dropped == {Reason.INTERNAL_ERROR: 1}
    assert "could not read [email]" in shown.out + shown.err
    assert SECRET not in shown.out + shown.err


def test_a_reload_replaces_the_rules_between_two_events() -> None:
    rig = Rig(logs={"routes": [{"drop": True}]})
    ingest(rig, {"m": 1})
    other = Rig(logs={"redact": REDACT}).config
    rig.pipeline.shape = make_shape(other, "host-1", {}, before=rig.pipeline.shape)
    ingest(rig, {"m": SECRET})

    assert messages(rig) == {"/app": [{"m": "[email]"}]}
    assert rig.observer.refusals.redact is not None
    rig.assert_balanced()


def test_the_settings_of_a_group_are_noted_when_an_event_is_routed_there() -> None:
    groups = LogGroups()
    routes = [
        {"when": {"a": 1}, "group": "/a/{service}", "retention_days": 30, "class": "INFREQUENT_ACCESS"},
        {"when": {"a": 2}, "group": "/app", "retention_days": 7},
    ]
    rig = Rig(logs={"routes": routes})
    rig.pipeline.shape = make_shape(rig.config, "host-1", {}, groups=groups)
    ingest(rig, {"a": 1, "service": "x"}, {"a": 2, "service": "host-1"}, {"a": 1, "log_group": "/own"}, {"a": 3})

    assert groups.settings("/a/x") == GroupSettings(30, "INFREQUENT_ACCESS")
    assert groups.settings("/app") == GroupSettings(7, None)
    assert groups.settings("/own") is None


def sums(rig: Rig, name: str) -> dict[str, tuple[float, float]]:
    """{dimensions: count and sum} of a metric, over all windows; and nothing is left open."""
    rig.flush()
    found: dict[str, tuple[float, float]] = {}
    for one in rig.datums():
        if one["MetricName"] == name:
            key = " ".join(pair["Value"] for pair in one.get("Dimensions", []))
            count, sum_ = found.get(key, (0.0, 0.0))
            statistics = one["StatisticValues"]
            found[key] = (count + statistics["SampleCount"], sum_ + statistics["Sum"])
    return found


@pytest.mark.parametrize("metrics", [{}, {"rules": [{"match": "other", "unit": "Bytes"}]}])
def test_rollups_of_a_metric_out_of_events_go_on_in_every_window(metrics: dict[str, Any]) -> None:
    hits = {"name": "Hits", "dimensions": {"Flow": "{flow}", "User": "{user}"}, "rollups": [["Flow"], ["Env"], []]}
    rig = Rig(logs={"metrics": [hits]}, metrics=metrics)
    for _ in range(3):
        ingest(rig, *[{"flow": f"f{n % 2}", "user": n} for n in range(10)])
        rig.clock.advance(60.0)

    found = sums(rig, "Hits")
    assert [found[key] for key in ("f0", "f1", "test", "")] == [(15, 15), (15, 15), (30, 30), (30, 30)]
    assert len(found) == 10 + 2 + 1 + 1
    rig.assert_balanced()


def test_a_rule_of_metrics_goes_on_for_metrics_out_of_events_and_its_rollups_win() -> None:
    hits = {"name": "Hits", "dimensions": {"User": "{user}"}, "rollups": [[]]}
    rig = Rig(logs={"metrics": [hits]}, metrics={"rules": [{"match": "Hits", "rollups": [["Env"]], "scale": 10}]})
    for _ in range(2):
        ingest(rig, {"user": 1}, {"user": 2})
        rig.clock.advance(60.0)

    assert sums(rig, "Hits") == {"test 1": (2, 20), "test 2": (2, 20), "test": (4, 40)}


EVENTS: Final = st.lists(
    st.fixed_dictionaries(
        {"level": st.sampled_from(["debug", "error", SECRET]), "ms": st.integers(-5, 5) | st.text(max_size=3)},
        optional={"id": st.integers(0, 9), "timestamp": st.sampled_from([NOW, 1.0]), "log_group": st.just("/o")},
    ),
    max_size=30,
)
RULES: Final = {
    "redact": [*REDACT, {"pattern": "-[0-9]", "replace": "drop_event"}],
    "metrics": [{"name": "Ms", "value": "ms", "dimensions": {"L": "{level}"}}, {"when": "debug", "name": "D"}],
    "routes": [
        {"when": {"id": [1, 2]}, "drop": True},
        {"when": "{ $.ms > 2 }", "sample": 0.5, "by": "id"},
        {"when": {"level": "error"}, "group": "/e/{id}", "retention_days": 1},
    ],
}


@given(EVENTS)
def test_the_ledger_holds_whatever_rules_do(events: list[dict[str, Any]]) -> None:
    rig = Rig(logs=RULES)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        ingest(rig, *events)
        for event in events:
            rig.send(orjson.dumps({"message": "m", **event}))
            rig.assert_balanced()
        stored = orjson.dumps(messages(rig))
        rig.flush()
    rig.assert_balanced()

    assert b"bob@" not in stored + b"".join(batch.body() for batch in rig.metrics.batches)


# --- placeholders -------------------------------------------------------------------------------------


def test_placeholders_that_are_unknown_are_counted_once_for_each_sample_and_event_wherever_they_are() -> None:
    rig = Rig(
        dimensions={"Env": "{missing}"},
        logs={
            "group": "/{service}/{team}",
            "stream": "s",
            "metrics": [{"name": "Hits", "dimensions": {"User": "{user.id}", "Team": "{team}"}}],
        },
    )
    for known in (0, 1):
        ingest(rig, {"a": 1}, {"service": "x", "team": "t", "user": {"id": "u"}}, {"service": "x", "user": {"id": "u"}})
        rig.send(b"other:1|c", b"other:1|c|#Env:own")
        # Three samples and one more by the configured dimension; of two events the group.
        assert rig.ledger.adjusted == {"placeholder_unknown": (3 + 1 + 2) * (known + 1)}

    assert set(messages(rig)) == {"/unknown/unknown", "/x/t", "/x/unknown"}


def test_a_known_sample_with_an_unknown_placeholder_is_counted_too() -> None:
    rig = Rig(logs={"group": "/g", "stream": "s", "metrics": [{"name": "Hits", "dimensions": {"User": "{user}"}}]})
    for _ in range(3):
        ingest(rig, {"a": 1}, {"user": "u"})

    assert rig.ledger.adjusted == {"placeholder_unknown": 3}
    rig.assert_balanced()


def test_the_group_of_a_document_in_embedded_metric_format_is_redacted_with_it() -> None:
    rig = Rig(logs={"redact": REDACT, "stream": "s"}, emf={"group": "/emf/{user}"})
    documents = Inputs(rig.pipeline).emf_documents
    documents([orjson.dumps({"_aws": {"CloudWatchMetrics": []}, "user": SECRET})])

    assert set(messages(rig)) == {"/emf/_email_"}
