"""Rules in the configuration: what is refused, with path and line, and what `check` says about them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import yaml

from sidecar.config.load import dump, load, rule_lines
from sidecar.config.metric_rules import MAX_RULES, MetricRule
from sidecar.config.rule_report import report
from sidecar.model.errors import ConfigError
from sidecar.pipeline.shaping import make_shape
from tests.support.forks import forks

GOOD: Final = """
metrics:
  rules:
    - match: "debug.*"
      drop: true
    - match: "job.{kind}.{job}.duration"
      name: JobDuration
      dimensions: {Kind: "{kind}", Job: "{job}"}
      unit: Milliseconds
      stop: true
    - match: "*"
      when: {env: [prod, 500], ok: true}
      drop_dimensions: pod
      rename_dimensions: {env: Environment}
      unit: Count
    - match: [Latency, "job.b*"]
      namespace: AxonFlow
      dimensions: {Job: x}
      unit: Seconds
      rollups: [[Environment], [], []]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sidecar.yaml"


def problems(file: Path, text: str, **environ: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(file, environ)
    return error.value.problems


WRONG: Final[list[tuple[str, str, str]]] = [
    ("{match: 'a{', unit: Bytes}", "match", "a brace that is not closed"),
    ("{match: 'x{a}', unit: Bytes}", "match", "a hole is a whole part"),
    ("{match: [], unit: Bytes}", "match", "a list of 1-100 globs"),
    ("{match: 5, unit: Bytes}", "match", "must be a glob"),
    ("{match: '', unit: Bytes}", "match", "1-255 characters"),
    ("{unit: Bytes}", "match", "Field required"),
    ("{match: a}", "", "sets nothing"),
    ("{match: a, when: {x: {y: z}}, unit: Bytes}", "when.x.0", "string"),
    ("{match: a, when: {x: []}, unit: Bytes}", "when.x", "at least 1 item"),
    ("{match: a, when: '{ $.x = }', unit: Bytes}", "when", "at character 9: a value is expected"),
    ("{match: a, when: ERROR, unit: Bytes}", "when", "a filter pattern in braces"),
    ("{match: a, when: '[a, b]', unit: Bytes}", "when", "a filter pattern in braces"),
    ("{match: a, when: [a], unit: Bytes}", "when", "dictionary"),
    ("{match: a, when: {input: [statsd, udp]}, unit: Bytes}", "when", "input 'udp' is none of statsd, json_udp"),
    ("{match: a, signed_gauges: delta, when: '{ $.a = b }'}", "", "signed_gauges and when"),
    ("{match: a, unit: Furlongs}", "unit", "not one of CloudWatch's"),
    ("{match: a, resolution: 30}", "resolution", "1 or 60"),
    ("{match: a, scale: 0}", "scale", "greater than"),
    ("{match: a, scale: .inf}", "scale", "less than"),
    ("{match: a, scale: .nan}", "scale", ""),
    ("{match: a, scale: -1}", "scale", "greater than"),
    ("{match: a, name: ''}", "name", "is empty"),
    ("{match: a, name: 'x{y'}", "name", "every brace closed"),
    ("{match: a, namespace: 'AWS/{x}'}", "namespace", "reserved"),
    ("{match: a, dimensions: {'': x}}", "dimensions..[key]", "is empty"),
    ("{match: a, dimensions: {x: 5}}", "dimensions.x", "string"),
    ("{match: a, keep_dimensions: [a], drop_dimensions: [b]}", "", "one of the two"),
    ("{match: a, rename_dimensions: {a: ''}}", "rename_dimensions.a", "is empty"),
    ("{match: a, rollups: [Environment]}", "rollups.0", "list"),
    ("{match: a, rollups: Environment}", "rollups", "list"),
    ("{match: a, max_series: 0}", "max_series", "greater than"),
    ("{match: a, drop: true, unit: Bytes}", "", "no effect"),
    ("{match: a, signed_gauges: delta, when: {a: b}}", "", "signed_gauges and when"),
    ("{match: ['{a}', '{b}'], unit: Bytes}", "", "different holes"),
    ("{match: a, unti: Bytes}", "unti", "known here: match"),
    ("5", "", ""),
]


@pytest.mark.parametrize(("rule", "path", "detail"), WRONG, ids=[rule for rule, _, _ in WRONG])
def test_a_wrong_rule_is_refused_with_its_path_and_line(file: Path, rule: str, path: str, detail: str) -> None:
    told = problems(file, f"# a comment\nmetrics:\n  rules:\n    - {{match: b, unit: Bytes}}\n    - {rule}\n")
    (problem,) = [one for one in told if one.startswith(f"metrics.rules.1{'.' * bool(path)}{path}: ")]

    assert detail in problem
    assert problem.endswith(" (line 5)")


def test_every_wrong_rule_is_told_at_once(file: Path) -> None:
    told = problems(file, "metrics:\n  rules:\n" + "".join(f"    - {rule}\n" for rule, _, _ in WRONG))

    assert {problem.split(".")[2].partition(":")[0] for problem in told} == {str(n) for n in range(len(WRONG))}


def test_a_rule_from_a_variable_names_the_variable_and_no_line(file: Path) -> None:
    (told,) = problems(
        file, "metrics: {rules: [{match: a, unit: x}]}", SIDECAR_METRICS__RULES='[{"match": "a", "unit": "y"}]'
    )

    assert told.endswith("(from SIDECAR_METRICS__RULES)")


def test_there_are_not_too_many_rules(file: Path) -> None:
    told = problems(file, yaml.safe_dump({"metrics": {"rules": [{"match": "a", "unit": "Bytes"}] * (MAX_RULES + 1)}}))

    assert len(told) == 1
    assert told[0].startswith("metrics.rules: ")


def test_what_is_dumped_loads_as_the_same_rules(file: Path) -> None:
    file.write_text(GOOD + "    - {match: debug.x, drop: false, percentiles: false}\n")
    config = load(file, {})
    text = dump(config)
    file.write_text(text)

    assert load(file, {}) == config
    assert "null" not in text.partition("rules:")[2].partition("logs:")[0]
    assert make_shape(config, "host", {}).rules.hits()


def test_the_json_schema_of_the_model_has_both_kinds_of_conditions() -> None:
    assert MetricRule.model_json_schema()["properties"]["when"]["anyOf"] == [{"type": "string"}, {"type": "object"}]


def test_both_kinds_of_conditions_are_dumped_and_told_as_they_are(file: Path) -> None:
    pattern = '{ $.env = "prod*" && $.pod NOT EXISTS }'
    file.write_text(
        f"metrics: {{rules: [{{match: a, when: '{pattern}', unit: Bytes}},"
        " {match: b, when: {input: [statsd, json*], env: prod}, unit: Bytes}]}"
    )
    config = load(file, {})
    told = list(report(config, {}))
    file.write_text(dump(config))

    assert load(file, {}) == config
    assert told[1] == f"metrics.rules.0: a and {pattern}: unit Bytes"
    assert told[2] == "metrics.rules.1: b and input is statsd or json* and env is prod: unit Bytes"


def test_check_says_each_rule_what_two_set_and_what_rollups_add(file: Path) -> None:
    file.write_text(GOOD)
    config = load(file, {})
    one, two, three = "metrics.rules.1 (line 6)", "metrics.rules.2 (line 11)", "metrics.rules.3 (line 16)"
    holes, added = "{Kind: {kind}, Job: {job}}", "rename_dimensions {env: Environment}"
    later = "where both match, the later wins"

    assert list(report(config, rule_lines(file, {}, config))) == [
        "metrics.rules: 4, every one that matches applies, in this order",
        "metrics.rules.0 (line 4): debug.*: drop true",
        f"{one}: job.{{kind}}.{{job}}.duration: name JobDuration, unit Milliseconds, dimensions {holes}, stop",
        f"{two}: * and env is prod or 500 and ok is true: unit Count, drop_dimensions [pod], {added}",
        f"{three}: Latency or job.b*: namespace AxonFlow, unit Seconds, dimensions {{Job: x}}, rollups [[Environment], [], []]",
        f"{one} and {two} both set unit: {later}",
        f"{one} and {three} both set unit, the dimension Job: {later}",
        f"{two} and {three} both set unit: {later}",
        f"{three}: at most 3 times as many series on the bill, one for each set of rollups; fewer where series share a rollup",
    ]


def test_check_says_each_rule_of_log_events_and_what_rollups_add(file: Path) -> None:
    file.write_text(
        """\
logs:
  routes:
    - when: {level: [error, fatal]}
      group: "/errors/{service}"
      retention_days: 90
  redact:
    - find: [email]
    - {pattern: 'cust-[0-9]{8}', replace: drop_event}
  metrics:
    - name: Requests
      dimensions: {Service: "{service}"}
      rollups: [[]]
    - {name: Latency, when: '{ $.ms >= 0 }', value: ms, type: timer}
"""
    )
    config = load(file, {})
    factor = (
        "at most 2 times as many series on the bill, one for each set of rollups; fewer where series share a rollup"
    )

    assert list(report(config, rule_lines(file, {}, config))) == [
        "logs.redact: 2, every one applies, before anything else sees the event",
        "logs.redact.0 (line 7): find [email]",
        "logs.redact.1 (line 8): pattern cust-[0-9]{8}, replace drop_event",
        "logs.metrics: 2, every one that matches makes a sample, also of events that routes drop",
        "logs.metrics.0 (line 10): name Requests, dimensions {Service: {service}}, rollups [[]]",
        "logs.metrics.1 (line 13): { $.ms >= 0 }: name Latency, value ms, type timer",
        f"logs.metrics.0 (line 10): {factor}",
        "logs.routes: 1, the first that matches decides",
        "logs.routes.0 (line 3): {level: [error, fatal]}: group /errors/{service}, retention_days 90",
    ]


def test_check_of_the_command_line_prints_rules_above_a_configuration_that_loads(file: Path) -> None:
    file.write_text(GOOD)
    done = forks().run("check", "--config", str(file))

    assert done.returncode == 0
    assert "# metrics.rules.0 (line 4): debug.*: drop true\n" in done.stdout
    file.write_text(done.stdout)
    assert len(load(file, {}).metrics.rules) == 4


def test_the_report_of_many_rules_is_bounded(file: Path) -> None:
    file.write_text(yaml.safe_dump({"metrics": {"rules": [{"match": "*a*" * 80, "unit": "Bytes"}] * MAX_RULES}}))
    told = list(report(load(file, {}), {}))

    assert len(told) == 1 + MAX_RULES + 50 + 1
    assert told[-1] == "further rules set the same thing"
