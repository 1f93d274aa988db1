"""`sidecar explain`: what it says becomes of an event is what the pipeline makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.commands.cli import cli
from sidecar.decode.emf import Decoder
from sidecar.model.errors import Reason, SidecarError
from sidecar.pipeline.explaining import Explainer, Explanation
from sidecar.pipeline.shaping import make_shape
from tests.support.clock import HandClock
from tests.support.pipeline import Rig, done
from tests.support.pipeline import run as run_now
from tests.support.strategies import any_lines, statsd_lines

RULES: Final = """\
namespace: App
metrics:
  rules:
    - match: "job.{kind}.{job}.seconds"
      name: JobDuration
      dimensions: {Kind: "{kind}"}
      scale: 1000
      unit: Milliseconds
    - match: "*"
      drop_dimensions: [pod]
      rollups: [[env], []]
    - {match: "debug.*", drop: true}
logs:
  group: /app
  redact:
    - find: [email]
  metrics:
    - name: Requests
      dimensions: {Service: "{service}"}
  routes:
    - {when: {level: debug}, drop: true}
    - {when: {level: error}, group: "/errors/{service}", stream: all, retention_days: 90, class: INFREQUENT_ACCESS}
"""
RULES_READ: Final = yaml.safe_load(RULES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments], input=given)


def explained(path: Path, *arguments: str) -> dict[str, Any]:
    result = run("--config", str(path), "--json", *arguments)
    assert result.exit_code == 0, result.output
    explanation: dict[str, Any] = json.loads(result.output)
    return explanation


def test_each_rule_is_named_with_its_file_and_line_and_what_it_changes(path: Path) -> None:
    result = run("--config", str(path), "job.batch.import.seconds:0.25|d|#env:prod,pod:p1")

    assert result.output == (
        "job.batch.import.seconds:0.25|d|#env:prod,pod:p1\n"
        "  decoded    distribution job.batch.import.seconds = 0.25, dimensions {env=prod, pod=p1}\n"
        "  rule       metrics.rules.0 (rules.yaml:4): dimensions {env=prod, pod=p1, Kind=batch}, name JobDuration,"
        " unit Milliseconds, scale 1000\n"
        "  rule       metrics.rules.1 (rules.yaml:9): dimensions {env=prod, Kind=batch}, rollups {env} {}\n"
        "  series     App JobDuration {Kind=batch, env=prod}, in Milliseconds, windows of 60 s, sent as values and counts,"
        " for percentiles\n"
        "  rollup     App JobDuration {env=prod}\n"
        "  rollup     App JobDuration {}\n"
        "  cost       3 metrics, 0.9 dollars a month if sent every hour; list price of us-east-1, 2026-08-06\n"
        "           -> JobDuration {Kind=batch, env=prod} = 250 Milliseconds, rollups {env=prod} {}\n"
    )


def test_a_log_event_is_redacted_measured_and_routed(path: Path) -> None:
    event = '{"message": "to bob@example.com", "level": "error", "service": "api"}'
    explanation = explained(path, "--log", event)

    assert [(one["stage"], one.get("rule"), one.get("line")) for one in explanation["steps"]] == [
        ("decoded", None, None),
        ("redact", "logs.redact.0", 16),
        ("metric", "logs.metrics.0", 18),
        ("route", "logs.routes.1", 22),
        ("decoded", None, None),
        ("rule", "metrics.rules.1", 9),
        ("series", None, None),
        ("rollup", None, None),
        ("log event", None, None),
        ("cost", None, None),
    ]
    assert explanation["outcomes"] == [
        "Requests {Service=api} = 1 Count, rollups {}",
        '/errors/api, stream all, 90 days, INFREQUENT_ACCESS: {"message": "to [email]", "level": "error", "service": "api"}',
    ]
    assert explanation["series"] == 2
    assert "bob" not in json.dumps(explanation["steps"])


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        (["debug.x:1|c"], ["dropped rule"]),
        (["x"], ["refused malformed_line"]),
        (["x:1|c|T1"], ["refused timestamp_too_old"]),
        (["--log", '{"level": "debug", "service": "a"}'], ["Requests {Service=a} = 1 Count, rollups {}", "dropped rule"]),
        (["--log", "text"], ["Requests {Service=unknown} = 1 Count, rollups {}", "/app: text"]),
        (["--log", " "], ["refused"]),
        (["--log", "{"], ["refused invalid_json"]),
        (['{"name": "n", "value": 2, "type": "gauge"}'], ["n {} = 2 None"]),
        (['[{"name": "n", "value": 2}, {"name": 3}]'], ["n {} = 2 None", "refused wrong_type"]),
        (["_e{1,1}:a|b"], ["Requests {Service=unknown} = 1 Count, rollups {}", '/app: {"message":"b","title":"a","type":"event"}']),
        (["a:1|c\nb:+2|g\nc:x|s"], ["a {} = 1 Count", "b {} = +2 None", "c {} = 1 member Count"]),
        (["datadog.dogstatsd.client.metrics:3|c"], ["telemetry"]),
    ],
)  # fmt: skip
def test_outcomes(path: Path, arguments: list[str], outcomes: list[str]) -> None:
    assert explained(path, *arguments)["outcomes"] == outcomes


def test_emf_is_read_as_configured(tmp_path: Path) -> None:
    document = {
        "_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["S"]], "Metrics": [{"Name": "L"}]}]},
        "S": "a",
        "L": 3,
    }
    path = tmp_path / "emf.yaml"
    path.write_text("emf: {as: metrics}")

    assert explained(path, json.dumps(document))["outcomes"] == ["L {S=a} = 3 None, namespace N"]
    path.write_text("emf: {as: logs, group: '/emf/{S}'}")
    assert explained(path, json.dumps(document))["outcomes"] == [f"/emf/a: {json.dumps(document)}"]


def test_each_line_of_a_file_or_of_standard_input(path: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_text("hits:1|c\n\nhits:2|c\r\n")
    from_file = run("--config", str(path), "--file", str(events))
    from_input = run("--config", str(path), "--file", "-", given=events.read_text())

    assert from_file.output == from_input.output
    assert [line for line in from_file.output.splitlines() if "->" in line] == [
        "           -> hits {} = 1 Count",
        "           -> hits {} = 2 Count",
    ]


def test_expectations_that_hold_and_that_do_not(path: Path, tmp_path: Path) -> None:
    expected = tmp_path / "expected"
    expected.write_text(
        "# what this service sends\n"
        "hits:1|c|#pod:a -> hits {} = 1 Count\n"
        "debug.x:1|c     -> dropped rule\n"
        '{"message": "a -> b", "service": "s"}\n'
        "  -> Requests {Service=s} = 1 Count, rollups {}\n"
        '  -> /app: {"message": "a -> b", "service": "s"}\n'
    )
    assert run("--config", str(path), "--expect", str(expected)).output == (
        "3 of 3 events have the expected outcomes\n"
    )
    expected.write_text("hits:1|c -> hits {} = 2 Count\ndebug.x:1|c -> dropped rule\n")
    result = run("--config", str(path), "--expect", str(expected))
    assert result.exit_code == 1
    assert result.output == (
        "line 1: hits:1|c\n  expected -> hits {} = 2 Count\n  got      -> hits {} = 1 Count\n"
        "1 of 2 events have the expected outcomes\n"
    )


def test_expectations_of_log_events(path: Path, tmp_path: Path) -> None:
    expected = tmp_path / "expected"
    expected.write_text(
        "a line of text\n -> Requests {Service=unknown} = 1 Count, rollups {}\n -> /app: a line of text\n"
    )

    assert run("--config", str(path), "--logs", "--expect", str(expected)).exit_code == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"-> hits", "line 1: an outcome without an event"),
        (b"a:1|c\n", "line 1: an event without an outcome"),
        (b"a:1|c -> \xff", "is not UTF-8, at byte 9"),
    ],
)
def test_a_file_of_expectations_that_cannot_be_read(path: Path, tmp_path: Path, content: bytes, problem: str) -> None:
    expected = tmp_path / "expected"
    expected.write_bytes(content)
    result = run("--config", str(path), "--expect", str(expected))

    assert result.exit_code == 1
    assert problem in result.output


def test_the_input_is_that_of_the_listener_or_as_given(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "metrics: {rules: [{match: a, when: {input: http}, name: A}, {match: a, when: {input: json_udp}, drop: true}]}"
    )
    event = '{"name": "a", "value": 1}'

    assert explained(path, event)["outcomes"] == ["dropped rule"]
    assert explained(path, "--input", "http", event)["outcomes"] == ["A {} = 1 None"]
    assert explained(path, "a:1|c")["outcomes"] == ["a {} = 1 Count"]


def test_one_event_at_a_time() -> None:
    for arguments in ([], ["a:1|c", "--log", "x"], ["a:1|c", "--logs"]):
        assert run(*arguments).exit_code == 2


def test_control_characters_are_not_printed(path: Path) -> None:
    assert "\x1b" not in run("--config", str(path), "--log", '{"message": "\x1b[31m"}').output


def test_a_line_that_is_too_long_is_a_sentence(path: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_bytes(b"a" * 1_100_000)
    result = run("--config", str(path), "--file", str(events))

    assert result.exit_code == 1
    assert "line 1 is longer than" in result.output


def test_a_configuration_that_is_refused_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("metrics: {rules: [{match: a}]}")
    ended = subprocess.run(
        [sys.executable, "-m", "sidecar", "explain", "--config", str(path), "a:1|c"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 2
    assert "metrics.rules.0" in ended.stderr


def explainer_of(rig: Rig) -> Explainer:
    shape = make_shape(rig.config, "host-1", {})
    return Explainer(rig.config, shape, emf=Decoder("logs").decode_item, clock=HandClock())


def shown(datum: dict[str, Any]) -> str:
    pairs = ", ".join(f"{one['Name']}={one['Value']}" for one in datum.get("Dimensions", []))
    return f"{datum['MetricName']} {{{pairs}}} = "


def agree(explanation: Explanation, rig: Rig) -> None:
    datums = rig.datums()
    named = {shown(datum) for datum in datums}
    outcomes = [one for one in explanation.outcomes if " = " in one]
    assert {one.partition(" = ")[0] + " = " for one in outcomes} <= named
    assert len(named) <= explanation.series
    refused = [one for one in explanation.outcomes if one.startswith("refused ")]
    accounts = (rig.ledger.samples, rig.ledger.log_events)  # a service check is a log event
    dropped = {reason for one in accounts for reason, units in one.dropped.items() if units} - {Reason.RULE}
    assert bool(refused) == bool(dropped), (explanation, dropped)


@settings(max_examples=300, deadline=None)
@example(b"_sc|shop|9")
@given(line=statsd_lines() | any_lines)
def test_what_is_explained_is_what_is_sent(line: bytes) -> None:
    """Of any line: the same series, and refused where the pipeline refuses it."""
    rig = Rig(metrics=RULES_READ["metrics"])
    explanation = explainer_of(rig).explain(line)
    rig.send(line)
    rig.flush()

    agree(explanation, rig)


SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES: Final = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)
KEYS: Final = (
    "name",
    "value",
    "type",
    "dimensions",
    "unit",
    "timestamp",
    "values",
    "counts",
    "statistics",
    "sample_rate",
)
NAMES: Final = st.sampled_from(["a", "job.x.y.seconds", "debug.a", "b"])
METRICS: Final = st.fixed_dictionaries(
    {"name": NAMES, "value": st.integers(0, 9)},
    optional={
        "type": st.sampled_from(["counter", "gauge", "timer", "set", "x"]),
        "dimensions": st.dictionaries(st.sampled_from(["env", "pod", "é", ""]), st.sampled_from(["1", "2", ""])),
        "unit": st.sampled_from(["Seconds", "x"]),
    },
) | st.dictionaries(st.sampled_from(KEYS), VALUES)
EVENTS: Final = st.fixed_dictionaries(
    {"message": st.text(max_size=8) | st.just("mail a@b.example")},
    optional={
        "level": st.sampled_from(["debug", "error", "info"]),
        "service": st.sampled_from(["shop", "a b", "", "é"]),
        "timestamp": VALUES,
        "group": VALUES,
    },
)


@settings(max_examples=100, deadline=None)
@given(items=st.lists(METRICS | EVENTS | VALUES, max_size=4))
def test_what_is_explained_of_json_is_what_is_sent(items: list[Any]) -> None:
    """A datagram with metrics and log events: the same series, messages, drops and refusals."""
    datagram = json.dumps(items).encode()
    rig = Rig(metrics=RULES_READ["metrics"], logs=RULES_READ["logs"])
    explanation = explainer_of(rig).explain(datagram)
    rig.send(datagram)
    rig.flush()
    run_now(rig.pipeline.flush_logs("timer"))

    agree_on_events(explanation, rig)


@settings(max_examples=100, deadline=None)
@given(items=st.lists(EVENTS | VALUES, max_size=4) | EVENTS)
def test_what_is_explained_of_a_body_of_log_events_is_what_is_sent(items: Any) -> None:
    rig = Rig(metrics=RULES_READ["metrics"], logs=RULES_READ["logs"])
    body = json.dumps(items).encode()
    explanation = explainer_of(rig).explain(body, log=True)
    try:
        done(rig.pipeline.ingest_logs(body, "application/json"))
    except SidecarError:
        assert explanation.outcomes == ["refused"]
        return
    rig.flush()
    run_now(rig.pipeline.flush_logs("timer"))

    agree_on_events(explanation, rig)


DATUMS: Final = st.fixed_dictionaries(
    {"MetricName": NAMES},
    optional={
        "Value": st.integers(0, 9),
        "Values": st.lists(st.integers(0, 9), max_size=3),
        "Dimensions": st.lists(st.fixed_dictionaries({"Name": st.sampled_from(["env", "pod"]), "Value": st.just("1")})),
        "Unit": st.sampled_from(["Seconds", "x"]),
    },
)


@settings(max_examples=100, deadline=None)
@given(datums=st.lists(DATUMS | VALUES, max_size=4))
def test_what_is_explained_of_a_put_metric_data_request_is_what_is_sent(datums: list[Any]) -> None:
    datagram = json.dumps({"Namespace": "Own", "MetricData": datums}).encode()
    rig = Rig(metrics=RULES_READ["metrics"])
    explanation = explainer_of(rig).explain(datagram)
    rig.send(datagram)
    rig.flush()

    agree(explanation, rig)


DOCUMENTS: Final = st.fixed_dictionaries(
    {"message": st.sampled_from(["started", "mail a@b.example"])},
    optional={
        "env": st.sampled_from(["1", "2", "", 3]),
        "level": st.sampled_from(["debug", "info"]),
        "service": st.sampled_from(["shop", "é"]),
        "a": st.integers(0, 9) | VALUES,
        "debug.a": st.lists(st.integers(0, 9), min_size=1, max_size=3),
        "job.x.y.seconds": st.integers(0, 9),
    },
)


@settings(max_examples=150, deadline=None)
@given(
    document=DOCUMENTS,
    sets=st.lists(st.lists(st.sampled_from(["env", "service"]), max_size=2), max_size=2),
    names=st.lists(st.sampled_from(["a", "debug.a", "job.x.y.seconds"]), max_size=3),
    group=st.sampled_from([None, "/named"]),
    as_=st.sampled_from(["logs", "metrics", "both"]),
)
def test_what_is_explained_of_an_emf_document_is_what_is_sent(
    document: dict[str, Any], sets: list[list[str]], names: list[str], group: str | None, as_: Any
) -> None:
    """Through rules of metrics, and through redactions and routes of log events."""
    directive = {"Namespace": "Own", "Dimensions": sets, "Metrics": [{"Name": name} for name in names]}
    metadata = {"CloudWatchMetrics": [directive]} | ({} if group is None else {"LogGroupName": group})
    text = json.dumps({"_aws": metadata, **document}).encode()
    rig = Rig(metrics=RULES_READ["metrics"], logs=RULES_READ["logs"])
    decoder = Decoder(as_)
    shape = make_shape(rig.config, "host-1", {})
    explanation = Explainer(rig.config, shape, emf=decoder.decode_item, clock=HandClock()).explain(text)
    elements = rig.pipeline.elements(decoder.decode, decoder.signal, "emf")
    more = elements.ingest([text])
    while more:
        more = elements.ingest([])
    rig.flush()
    run_now(rig.pipeline.flush_logs("timer"))

    agree_on_events(explanation, rig)


def agree_on_events(explanation: Explanation, rig: Rig) -> None:
    """Compare outcomes, of which those of log events have a message behind the group."""
    named = {shown(datum) for datum in rig.datums()}
    assert {one.partition(" = ")[0] + " = " for one in explanation.outcomes if "} = " in one} <= named
    assert len(named) <= explanation.series
    events = sorted(one.partition(": ")[2] for one in explanation.outcomes if one.startswith("/"))
    assert events == sorted(rig.events())
    counts: dict[str, int] = {}
    for account in (rig.ledger.samples, rig.ledger.log_events):
        for reason, units in account.dropped.items():
            counts[reason.value] = counts.get(reason.value, 0) + units
    said = [one.partition(" ")[2] for one in explanation.outcomes if one.startswith(("refused ", "dropped "))]
    assert {reason for reason, units in counts.items() if units} == set(said), explanation
