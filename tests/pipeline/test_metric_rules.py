"""Rules on metrics, end to end: the same for every input, for lines that are known and lines that are not."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Final

import orjson
import pytest
from multidict import CIMultiDict

from sidecar.config.schema import Config
from sidecar.decode.aws import AwsCalls
from sidecar.model.errors import Reason
from sidecar.model.exchange import Request
from sidecar.model.log_groups import LogGroups
from sidecar.pipeline.shaping import make_shape
from tests.support import counting
from tests.support.pipeline import MINUTE, Inputs, Rig, done
from tests.support.strategies import NOW

ROLLUP: Final = {"rules": [{"match": "*", "drop_dimensions": "Env", "rollups": [["env"], []]}]}
DROP: Final = {"rules": [{"match": "debug.*", "drop": True}]}
EVENTS: Final = 1_000
TWENTY: Final[list[dict[str, Any]]] = [
    {"match": "debug.*", "drop": True},
    {"match": "shop.{what}", "dimensions": {"What": "{what}"}, "scale": 2},
    {"match": "*", "when": {"env": "prod*"}, "drop_dimensions": ["pod", "aws:*"], "rollups": [["env"], []]},
    *({"match": f"other{number}.*", "unit": "Bytes"} for number in range(16)),
    {"match": ["shop.*", "web.*"], "max_series": 500, "resolution": 60},
]


def by_dimensions(rig: Rig) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """What is sent, by the values of dimensions."""
    rig.flush()
    found: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for datum in rig.datums():
        found[tuple(one["Value"] for one in datum["Dimensions"])].append(datum)
    return found


def total(datums: list[dict[str, Any]]) -> tuple[float, float]:
    """Count and sum."""
    count = sum_ = 0.0
    for datum in datums:
        statistics = datum.get("StatisticValues")
        if statistics is None:
            count += sum(datum["Counts"])
            sum_ += math.fsum(value * count for value, count in zip(datum["Values"], datum["Counts"], strict=True))
        else:
            count, sum_ = count + statistics["SampleCount"], sum_ + statistics["Sum"]
    return count, sum_


# --- every input alike --------------------------------------------------------------------------------


def send_lines(rig: Rig) -> None:
    rig.send(b"hits:2|c|#env:prod,user:1\nhits:3|c|#env:prod,user:2")


def send_json(rig: Rig) -> None:
    for user, value in (("1", 2), ("2", 3)):
        metric = {"name": "hits", "value": value, "type": "counter", "dimensions": {"env": "prod", "user": user}}
        done(rig.pipeline.ingest_metrics(orjson.dumps(metric), "application/json"))


def send_call(rig: Rig) -> None:
    datums = [
        {
            "MetricName": "hits",
            "Dimensions": [{"Name": "env", "Value": "prod"}, {"Name": "user", "Value": user}],
            "Value": value,
        }
        for user, value in (("1", 2), ("2", 3))
    ]
    body = orjson.dumps({"Namespace": "App", "MetricData": datums})
    done(Inputs(rig.pipeline).ingest_call("metrics", "PutMetricData", body, NOW))


def send_emf(rig: Rig) -> None:
    ingest = Inputs(rig.pipeline, "metrics").emf_documents
    metrics = {"Namespace": "App", "Dimensions": [["env", "user"]], "Metrics": [{"Name": "hits"}]}
    for user, value in (("1", 2), ("2", 3)):
        aws = {"Timestamp": int(NOW * 1_000), "CloudWatchMetrics": [metrics]}
        more = ingest([orjson.dumps({"_aws": aws, "env": "prod", "user": user, "hits": value})])
        while more:
            more = ingest([])


@pytest.mark.parametrize("send", [send_lines, send_json, send_call, send_emf])
def test_rollups_are_made_whatever_input_a_metric_came_by(send: Any) -> None:
    rig = Rig(metrics=ROLLUP)
    for _ in range(3):
        send(rig)
    sent = by_dimensions(rig)

    assert {values: total(datums) for values, datums in sent.items()} == {
        ("prod", "1"): (3.0, 6.0),
        ("prod", "2"): (3.0, 9.0),
        ("prod",): (6.0, 15.0),
        (): (6.0, 15.0),
    }
    assert rig.metrics.units == 6, "rollups stand for no samples"
    rig.assert_balanced()


# --- by input -----------------------------------------------------------------------------------------


def test_an_input_has_its_own_rules_known_or_not() -> None:
    """The same metric by every input, again and again: also the shortcuts know them apart."""
    inputs = ("statsd", "json_udp", "http", "emf", "aws", "logs")
    rules = [{"match": "hits", "when": {"input": one}, "dimensions": {"By": one}} for one in inputs]
    rules += [{"match": "hits", "keep_dimensions": ["By"]}]
    rig = Rig(metrics={"rules": rules}, logs={"metrics": [{"name": "hits", "when": {"log": True}}]})
    document = {"name": "hits", "value": 1, "type": "counter", "dimensions": {"env": "prod", "user": "1"}}
    for _ in range(3):
        rig.send(b"hits:1|c|#env:prod,user:1")
        rig.send(orjson.dumps(document))
        done(rig.pipeline.ingest_metrics(orjson.dumps(document), "application/json"))
        send_call(rig)
        send_emf(rig)
        done(rig.pipeline.ingest_logs(b'{"log": true}', "application/json"))
        rig.clock.advance(20.0)
    rig.flush()
    found: dict[str, float] = {}
    for datum in rig.datums():
        (by,) = [one["Value"] for one in datum["Dimensions"]]
        found[by] = found.get(by, 0.0) + total([datum])[0]

    assert found == {"statsd": 3, "json_udp": 3, "http": 3, "aws": 6, "emf": 6, "logs": 3}
    assert [rule["hits"] for rule in rig.pipeline.rules()["metrics"]] == [3, 3, 3, 6, 6, 3, 24]
    rig.assert_balanced()


def test_a_strict_call_is_checked_by_the_rules_of_its_input() -> None:
    rules = [{"match": "hits", "when": {"input": "aws"}, "name": "{name}"}]
    rig = Rig(metrics={"rules": rules})
    calls = AwsCalls(LogGroups(), strict=True, new_id=lambda: "id")
    headers = CIMultiDict({"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData"})
    datums = [{"MetricName": "hits", "Value": 1, "Dimensions": [{"Name": "name", "Value": "x" * 256}]}]
    body = orjson.dumps({"Namespace": "App", "MetricData": [*datums, {"MetricName": "fine", "Value": 1}]})
    reading = calls.read(Request("POST", "/", headers, "application/x-amz-json-1.0", body), NOW)
    assert reading is not None
    outcome = done(rig.pipeline.bodies.process(reading, "aws"))

    assert (outcome.accepted, len(outcome.rejected)) == (0, 2)


# --- drop ---------------------------------------------------------------------------------------------


def test_what_a_rule_drops_is_counted_with_its_reason_known_or_not() -> None:
    rig = Rig(metrics=DROP)
    lines = [b"debug.a:1|c", b"debug.b:2:3|ms", b"debug.c:x|s", b"debug.d:+1|g", b"debug.e:1|ms|@0.5"]
    for _ in range(3):
        rig.send(*lines, b"hits:1|c")
    rig.flush()

    assert rig.dropped == {Reason.RULE: 18}
    assert rig.pipeline.series == 1
    assert rig.pipeline.rules()["metrics"][0]["hits"] == 18
    rig.assert_balanced()


def test_a_dropped_metric_is_accepted_and_not_rejected() -> None:
    rig = Rig(metrics=DROP)
    body = b'[{"name": "debug.x", "value": 1}, {"name": "x", "value": 1}, {"name": "debug.y", "values": [1, 2]}]'
    for _ in range(3):
        outcome = done(rig.pipeline.ingest_metrics(body, "application/json"))
        assert (outcome.accepted, outcome.rejected) == (3, [])
    rig.flush()

    assert rig.dropped == {Reason.RULE: 9}
    rig.assert_balanced()


def test_dropped_documents_are_found_in_the_table() -> None:
    rig = Rig(metrics=DROP)
    body = b'{"name": "debug.x", "value": 1}'
    for _ in range(2):
        done(rig.pipeline.ingest_metrics(body, "application/json"))
    known = counting.calls(lambda: done(rig.pipeline.ingest_metrics(body, "application/json")))
    rig.pipeline.shape = rig.pipeline.shape
    unknown = counting.calls(lambda: done(rig.pipeline.ingest_metrics(body, "application/json")))

    assert known < unknown - 10


# --- time ---------------------------------------------------------------------------------------------


def test_a_rollup_of_late_samples_goes_with_them() -> None:
    rig = Rig(metrics=ROLLUP)
    rig.send(b"hits:1|c|#env:prod,user:1")
    rig.flush()
    rig.send(b"hits:5|c|#env:prod,user:1|T%d" % MINUTE, b"hits:7|c|#env:prod,user:2|T%d" % (MINUTE - 60))
    sent = by_dimensions(rig)

    assert [(datum["Timestamp"], total([datum])) for datum in sent[("prod",)]] == [
        (MINUTE, (1.0, 1.0)),
        (MINUTE - 60, (1.0, 7.0)),
        (MINUTE, (1.0, 5.0)),
    ]
    rig.assert_balanced()


def test_a_known_line_goes_on_with_its_rollups_and_scale_in_the_next_window() -> None:
    rules = [{"match": "*", "drop_dimensions": "Env", "scale": 1000, "unit": "Milliseconds", "rollups": [[]]}]
    rig = Rig(metrics={"rules": rules})
    for _ in range(3):
        rig.send(b"wait:0.25|c|#user:1")
        rig.clock.advance(60.0)
    sent = by_dimensions(rig)

    assert [total([datum]) for datum in sent[()]] == [(1.0, 250.0)] * 3
    assert {datum["Unit"] for datum in rig.datums()} == {"Milliseconds"}


def test_a_gauge_keeps_its_level_in_the_units_of_its_sender() -> None:
    rig = Rig(metrics={"rules": [{"match": "level", "scale": 10}]})
    rig.send(b"level:5|g\nlevel:+2|g")
    rig.flush()

    (datum,) = rig.datums()
    assert datum["StatisticValues"] == {"SampleCount": 2.0, "Sum": 120.0, "Minimum": 50.0, "Maximum": 70.0}


# --- reload -------------------------------------------------------------------------------------------


def test_other_rules_take_effect_with_the_next_event_and_open_windows_close_by_their_own() -> None:
    rig = Rig(metrics=ROLLUP)
    line = b"hits:1|c|#env:prod,user:1"
    rig.send(line, line)
    metrics = Config.model_validate({"metrics": {"rules": [{"match": "*", "drop_dimensions": "Env"}]}}).metrics
    config = rig.config.model_copy(update={"metrics": metrics})
    rig.pipeline.shape = make_shape(config, "host-1", {}, before=rig.pipeline.shape)
    rig.send(line, line, line)
    sent = by_dimensions(rig)

    assert total(sent["prod", "1"]) == (5.0, 5.0)
    assert total(sent[("prod",)]) == (2.0, 2.0)
    rig.assert_balanced()


def test_rules_on_the_input_that_come_with_a_reload_hold_for_documents_that_are_known() -> None:
    rig = Rig()
    document = b'{"name": "hits", "value": 1, "type": "counter"}'
    rules = [{"match": "hits", "when": {"input": one}, "dimensions": {"By": one}} for one in ("json_udp", "http")]
    config = rig.config.model_copy(update={"metrics": Config.model_validate({"metrics": {"rules": rules}}).metrics})
    for shape in (rig.pipeline.shape, make_shape(config, "host-1", {}), rig.pipeline.shape):
        rig.pipeline.shape = shape
        for _ in range(2):
            rig.send(document)
            done(rig.pipeline.ingest_metrics(document, "application/json"))
    sent = by_dimensions(rig)

    assert {values: total(datums)[0] for values, datums in sent.items()} == {
        ("test",): 8, ("json_udp", "test"): 2, ("http", "test"): 2,
    }  # fmt: skip


# --- the cap ------------------------------------------------------------------------------------------


def test_twenty_thousand_users_keep_a_metric_within_its_cap_with_exact_totals() -> None:
    rules = [{"match": "hits", "drop_dimensions": "Env", "max_series": 500, "rollups": [["env"]]}]
    rig = Rig(metrics={"max_series": 20_000, "rules": rules})
    for first in range(0, 20_000, 1_000):
        rig.send(
            *[b"hits:2|c|#env:%s,user:u%d" % (b"prod" if n % 4 else b"dev", n) for n in range(first, first + 1_000)]
        )
    rig.send(b"other:1|c")
    sent = by_dimensions(rig)
    of_users = {values: datums for values, datums in sent.items() if len(values) == 2}

    assert len(of_users) == 500 + 2, "its own, and one for each environment"
    assert total([datum for datums in of_users.values() for datum in datums]) == (20_000.0, 40_000.0)
    assert total(sent[("prod",)]) == (15_000.0, 30_000.0)
    assert total(sent[("dev",)]) == (5_000.0, 10_000.0)
    assert rig.ledger.adjusted["series_folded"] == 20_000 - 500
    assert rig.pipeline.series == 500 + 2 + 2 + 1
    rig.assert_balanced()


def test_folding_spares_the_dimensions_of_rollups() -> None:
    """Two dimensions explode: the alarm on the environment sees every sample all the same."""
    rules = [{"match": "hits", "drop_dimensions": "Env", "max_series": 20, "rollups": [["env"]]}]
    rig = Rig(metrics={"rules": rules})
    for n in range(2_000):
        rig.send(b"hits:1|c|#env:%s,session:s%d,user:u%d" % (b"prod" if n % 2 else b"dev", n, n))
    sent = by_dimensions(rig)

    assert total(sent[("prod",)]) == total(sent[("dev",)]) == (1_000.0, 1_000.0)
    assert sum(len(values) == 3 for values in sent) <= 20 + 10 + 2
    rig.assert_balanced()


def test_rollups_do_not_fail_where_max_series_is_reached() -> None:
    rig = Rig(metrics={"max_series": 4, **ROLLUP})
    for n in range(100):
        rig.send(b"hits:1|c|#env:prod,user:u%d" % n)
    sent = by_dimensions(rig)

    assert total(sent[("prod",)]) == total(sent[()]) == (100.0, 100.0)
    assert rig.dropped == {}


# --- what it costs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"c", b"g", b"ms"])
def test_a_known_line_costs_with_twenty_rules_what_it_costs_without(kind: bytes) -> None:
    lines = [b"shop.requests:%d|%b|#env:production,kind:%d" % (1 + n % 10, kind, n % 100) for n in range(EVENTS)]
    costs = []
    for rules in ([], TWENTY):
        rig = Rig(metrics={"rules": rules})
        for _ in range(3):
            rig.send(*lines)
        costs.append(counting.calls(lambda rig=rig: rig.pipeline.datagrams(lines)))  # type: ignore[misc]

    assert costs[1] == costs[0]


def test_a_known_document_costs_with_twenty_rules_what_it_costs_without() -> None:
    body = b"\n".join(
        orjson.dumps({"name": "shop.a", "value": n % 7, "dimensions": {"env": "prod"}}) for n in range(100)
    )
    costs = []
    for rules in ([], TWENTY):
        rig = Rig(metrics={"rules": rules})
        for _ in range(2):
            done(rig.pipeline.ingest_metrics(body, "json"))
        costs.append(counting.calls(lambda rig=rig: done(rig.pipeline.ingest_metrics(body, "json"))))  # type: ignore[misc]

    assert costs[1] == costs[0]


# --- hits ---------------------------------------------------------------------------------------------


def test_hits_of_each_rule_are_samples_known_or_not_and_rules_that_never_hit_are_named() -> None:
    rig = Rig(metrics={"rules": TWENTY})
    for _ in range(3):
        rig.send(b"shop.a:1|c|#env:prod\nweb.b:2:3|ms|#env:dev")
    before = rig.pipeline.rules()
    rig.flush()
    rig.send(b"shop.a:1|c|#env:prod")
    after = rig.pipeline.rules()

    assert {one["rule"]: one["hits"] for one in before["metrics"] if one["hits"]} == {
        "metrics.rules.1": 3,
        "metrics.rules.2": 3,
        "metrics.rules.19": 9,
    }
    assert [one["hits"] for one in after["metrics"]][1] == 4
    assert len(after["never_hit"]) == 17
    assert "metrics.rules.0" in after["never_hit"]


def test_a_placeholder_without_a_value_is_unknown_and_counted_for_each_sample() -> None:
    rig = Rig(metrics={"rules": [{"match": "*", "dimensions": {"Team": "{team}"}}]})
    for _ in range(3):
        rig.send(b"a:1|c")
    sent = by_dimensions(rig)

    assert list(sent) == [("test", "unknown")]
    assert rig.ledger.adjusted["placeholder_unknown"] == 3
