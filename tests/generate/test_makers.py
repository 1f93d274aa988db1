"""Single makers: policies of unusual configurations, filters beside their rules, text that means something elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import hcl2
import orjson
import pytest
import yaml
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.generate import decide_by
from sidecar.config.log_rules import LogMetric
from sidecar.generate.filters import pattern_of
from sidecar.generate.hcl import Block, Raw, Template
from sidecar.generate.hcl import written as hcl
from sidecar.generate.iam import _actions
from sidecar.generate.pack import make
from sidecar.model.conditions import compile_condition
from tests.generate.packs import alarms, api_calls, config_of, pack, written
from tests.generate.test_shapes import plain, properties, text


def statements(yaml_text: str) -> list[dict[str, Any]]:
    """The statements of each policy."""
    calls = api_calls(config_of(yaml_text), "iam")
    return [one for call in calls for one in json.loads(call["parameters"]["PolicyDocument"])["Statement"]]


def actions(yaml_text: str) -> set[str]:
    return {action for one in statements(yaml_text) for action in one["Action"]}


def test_nothing_is_allowed_that_is_never_called() -> None:
    base = {"cloudwatch:PutMetricData", "logs:PutLogEvents"}
    created = base | {"logs:CreateLogStream", "logs:CreateLogGroup"}

    assert actions("listen: {http_port: null}\nlogs: {create: false}") == base
    assert actions("listen: {http_port: null}") == created
    assert actions("listen: {http_port: null}\nlogs: {retention_days: 7}") == created | {"logs:PutRetentionPolicy"}
    assert actions("{}") == created | {"logs:PutRetentionPolicy"}  # an SDK may ask for it
    role = "deliver: {role_arn: 'arn:aws:iam::123456789012:role/x'}"
    assert actions(role) - actions("{}") == {"sts:AssumeRole"}
    passed = "aws: {pass_through: [GetMetricData, ListTagsForResource, StartQuery]}"
    assert actions(passed) - actions("{}") == {
        *("cloudwatch:GetMetricData", "logs:StartQuery"),
        *("cloudwatch:ListTagsForResource", "logs:ListTagsForResource"),
    }


@pytest.mark.parametrize(("service", "prefix"), [("cloudwatch", "cloudwatch"), ("logs", "logs")])
def test_every_operation_that_can_be_passed_through_has_the_action_of_its_service(service: str, prefix: str) -> None:
    operations = Loader().load_service_model(service, "service-2")["operations"]

    assert [one for one in operations if f"{prefix}:{one}" not in _actions(one)] == []


def test_every_namespace_that_is_named_is_allowed() -> None:
    both = "namespace: A\nlogs: {metrics: [{name: m, namespace: B}]}\nwatch: {sends: [{metrics: [x], type: gauge, namespace: C}]}"
    rules = "namespace: A\nmetrics: {rules: [{match: 'a.{x}', namespace: 'N/{x}'}]}"

    (exact,) = [one["Condition"] for one in statements(both) if "Condition" in one]
    (like,) = [one["Condition"] for one in statements(rules) if "Condition" in one]
    assert exact == {"StringEquals": {"cloudwatch:namespace": ["A", "B", "C"]}}
    assert like == {"StringLike": {"cloudwatch:namespace": ["A", "N/*"]}}


def test_every_group_that_is_named_is_allowed_in_both_forms() -> None:
    (send, *_) = [
        one
        for one in statements(
            "region: cn-north-1\nlogs: {group: '/a/{x}', events_group: /e, routes: [{group: '/r/{Env}'}]}\n"
            "dimensions: {Env: prod}\nemf: {group: /m}\nwatch: {groups: [/own], values: {x: [one]}}"
        )
        if one["Sid"] == "SendLogs"
    ]
    start = "arn:aws-cn:logs:cn-north-1:ACCOUNT_ID:log-group:"

    names = ("/a/*", "/e", "/m", "/own", "/r/prod")
    assert send["Resource"] == [f"{start}{name}{end}" for name in names for end in ("", ":*")]


WATCH = """
namespace: Shop
region: eu-west-1
watch:
  environment: prod
  sends: [{metrics: [M], type: timer, resolution: 1}]
  topics: {critical: 'arn:aws:sns:eu-west-1:123456789012:pager'}
  alarms:
    - {name: one, metric: M, statistic: Sum, above: 1.5, severity: critical, runbook: 'https://x/y'}
    - {name: two, metric: M, statistic: p99, below: 3, period_seconds: 10, periods: 6, datapoints: 4}
"""


def test_topics_that_exist_are_used_and_the_others_are_made() -> None:
    config = config_of(WATCH)
    first, second = alarms(config)

    assert first["AlarmActions"] == first["OKActions"] == ["arn:aws:sns:eu-west-1:123456789012:pager"]
    assert second["AlarmActions"] == ["arn:aws:sns:eu-west-1:ACCOUNT_ID:shop-prod-warning"]
    assert [one["parameters"] for one in api_calls(config) if one["operation"] == "CreateTopic"] == [
        {"Name": "shop-prod-warning"}
    ]
    assert first["AlarmDescription"] == "Sum of M was above 1.5 in a period of 300 seconds. Runbook: https://x/y"
    assert (second["ComparisonOperator"], second["TreatMissingData"]) == ("LessThanThreshold", "breaching")


def test_only_a_percentile_says_what_few_samples_mean() -> None:
    config = config_of(WATCH.replace("statistic: Sum", "statistic: tm90"))
    trimmed, percentile = alarms(config)

    assert (trimmed["ExtendedStatistic"], "EvaluateLowSampleCountPercentile" in trimmed) == ("tm90", False)
    assert percentile["EvaluateLowSampleCountPercentile"] == "ignore"


def test_only_the_composite_notifies_where_the_service_does() -> None:
    config = config_of(WATCH.replace("watch:\n", "watch:\n  notify: service\n"))
    made = api_calls(config, "alarms")

    assert [("AlarmActions" in one["parameters"], one["operation"]) for one in made] == [
        *[(False, "PutMetricAlarm")] * 2,
        (True, "PutCompositeAlarm"),
    ]
    assert made[-1]["parameters"]["AlarmRule"] == 'ALARM("shop-prod-one") OR ALARM("shop-prod-two")'


def test_alarms_of_high_resolution_cost_three_times_as_much() -> None:
    from sidecar.generate.cost import sentence
    from sidecar.model.prices import Prices

    assert sentence(pack(config_of(WATCH), "alarms"), Prices()).startswith(
        "about 0.90 dollars a month (1 alarm metric 0.10, 1 high-resolution alarm metric 0.30, 1 composite alarm 0.50)"
    )


ODD = """
namespace: Shop
watch:
  sends: [{metrics: ['a b"c$', M], type: counter, dimensions: [Odd Name]}]
  alarms:
    - {name: odd, metric: 'a b"c$', statistic: Sum, above: 1, dimensions: {Odd Name: '${x} %{y} "z" \\'}, description: "${AWS::Region} %{if} \\\\ \\"q\\" é"}
  dashboards:
    ops: [{title: '${LAST} %{x} "é"', metrics: [M], statistics: [Sum], by: [Odd Name]}]
  queries: [{name: q, query: "filter a like /${x}%{y}\\\\d/", groups: [/g]}]
"""


def test_text_that_means_something_to_cloudformation_or_terraform_is_only_text() -> None:
    config = config_of(ODD)
    template = yaml.safe_load(written(config, "cloudformation"))["Resources"]
    module = hcl2.loads(written(config, "terraform"))
    expected = {
        one["Type"]: {key: plain(value) for key, value in one["Properties"].items()} for one in template.values()
    }
    found = [
        properties(text(kind), body)
        for one in module["resource"]
        for kind, labelled in one.items()
        if text(kind) in ("aws_cloudwatch_metric_alarm", "aws_cloudwatch_query_definition", "aws_cloudwatch_dashboard")
        for body in labelled.values()
    ]

    assert found == [
        expected["AWS::CloudWatch::Alarm"],
        expected["AWS::CloudWatch::Dashboard"],
        expected["AWS::Logs::QueryDefinition"],
    ]
    assert expected["AWS::CloudWatch::Alarm"]["Dimensions"] == [{"Name": "Odd Name", "Value": '${x} %{y} "z" \\'}]
    (widget,) = expected["AWS::CloudWatch::Dashboard"]["DashboardBody"]["widgets"][2:]
    assert widget["properties"]["title"] == '${LAST} %{x} "é"'
    assert widget["properties"]["metrics"] == [
        [{"expression": "SEARCH('{Shop,\"Odd Name\"} MetricName=\"M\"', 'Sum', 300)"}]
    ]


values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["a", "ab", "a*", "*b", "", "x y"]))
fields = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.one_of(values, st.just(0.5)), max_size=3)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b"]), st.one_of(values, st.lists(values, min_size=1, max_size=3)), min_size=1
    ),
    fields,
)
def test_a_filter_matches_what_the_mapping_of_its_rule_matches(when: dict[str, Any], event: dict[str, Any]) -> None:
    """By the daemon's own reading of both."""
    rule = LogMetric.model_validate({"name": "m", "when": when})
    message = orjson.dumps(event).decode()

    assert compile_condition(pattern_of(rule))(event, message) == compile_condition(when)(event, message)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("value: a, type: set", "counts no distinct members"),
        ("value: a, scale: 2", "multiplies no values"),
        ("dimensions: {A: '{a}', B: '{b}', C: '{c}', D: '{d}'}", "has 4 dimensions, a filter at most 3"),
        ("when: 'ERROR -timeout', dimensions: {A: '{a}'}", "dimensions need one of JSON"),
        ("when: {a: 'x?'}", "has a character that a filter pattern has no glob for"),
        ("when: {'a b': 1}", "is no path of letters, digits and dots"),
    ],
)
def test_what_a_filter_cannot_express_is_refused(rule: str, sentence: str) -> None:
    made = pack(config_of(f"logs: {{group: /g, metrics: [{{name: m, {rule}}}]}}"), "metric-filters")

    assert sentence in made.problems[0]
    assert made.resources == []


def test_filters_of_one_metric_do_not_replace_each_other() -> None:
    rules = "{name: m, when: {a: 1}}, {name: m, when: {a: 2}}, {name: n}"
    made = pack(config_of(f"logs: {{group: /g, metrics: [{rules}]}}"), "metric-filters").resources

    assert [one.properties["FilterName"] for one in made] == ["sidecar-m-0", "sidecar-m-1", "sidecar-n"]
    assert [one.label for one in made] == ["m-0-g", "m-1-g", "n-g"]


def test_hcl_of_each_kind_of_value() -> None:
    block = Block(
        "a", ("b",), {"x": [], "y": {}, "long name": None, "z": [Raw("r.s"), 1.0, 2.5, True], "t": Template('${a}-"b"')}
    )

    assert hcl([block, Block("e")]) == (
        'a "b" {\n  x           = []\n  y           = {}\n  "long name" = null\n  z           = [r.s, 1, 2.5, true]\n'
        '  t           = "${a}-\\"b\\""\n}\n\ne {}\n'
    )


def test_names_that_differ_in_punctuation_alone_are_resources_of_their_own() -> None:
    """One of two with the same logical ID would be lost, an alarm among them."""
    names = ["a-1", "a1", "aB", "a-b", "a--b", "1", "alarm-1"]
    listed = ", ".join(f"{{name: '{name}', metric: m, statistic: Sum, above: 1}}" for name in names)
    watch = f"sends: [{{metrics: [m], type: counter}}], alarms: [{listed}], groups: [/a/b, /a-b, /a_b]"
    config = config_of(f"watch: {{{watch}}}")

    template = yaml.safe_load(written(config, "cloudformation"))["Resources"]
    made = [one["Properties"]["AlarmName"] for one in template.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert sorted(made) == sorted(f"sidecar-{name}" for name in names)
    groups = {one["Properties"].get("LogGroupName") for one in template.values()}
    assert {"/a/b", "/a-b", "/a_b"} <= groups
    composite = next(one for one in template.values() if one["Type"] == "AWS::CloudWatch::CompositeAlarm")
    assert len(set(composite["DependsOn"])) == len(names)
    assert set(composite["DependsOn"]) <= set(template)
    heads = [line for line in written(config, "terraform").splitlines() if line.startswith("resource")]
    assert len(set(heads)) == len(heads) == len(template)


def test_places_with_many_values_are_refused_at_once() -> None:
    values = ", ".join(f"{name}: [{', '.join(f'v{number}' for number in range(100))}]" for name in "abcdef")
    rule = "logs: {group: '/{a}/{b}/{c}/{d}/{e}/{f}', metrics: [{name: m, value: v}]}"
    config = config_of(f"{{{rule}, watch: {{values: {{{values}}}, queries: [{{name: q, query: fields @message}}]}}}}")

    for what in ("log-groups", "queries", "metric-filters", "iam"):
        problems = make(what, config, decide_by(config)).problems
        assert bool(problems) is (what != "iam"), what


@pytest.mark.parametrize("text", ["\x019\x01", "\\u00019\\u0001", "\ue0000\ue000", "${AWS::Region}"])
def test_text_of_a_query_is_only_text_in_a_template(text: str) -> None:
    query = json.dumps(f"fields @message | filter @message like '{text}'")
    config = config_of(
        f"{{logs: {{group: /a}}, watch: {{queries: [{{name: q, query: {query}}}], dashboards: {{ops: [{{title: t, query: q}}]}}}}}}"
    )
    [body] = [
        one["Properties"]["DashboardBody"]["Fn::Sub"]
        for one in yaml.safe_load(written(config, "cloudformation", "dashboard"))["Resources"].values()
    ]

    found = json.loads(body.replace("${AWS::Region}", "R").replace("${!", "${"))["widgets"][1]["properties"]
    assert text in found["query"]
    assert found["region"] == "R"


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_text_in_hcl_has_the_escapes_of_hcl(text: str) -> None:
    line = hcl([Block("b", (), {"a": text, "t": Template(text.replace("${", "").replace("%{", ""))})])

    assert not re.search(r"(?<!\\)(?:\\\\)*\\[^nrt\"\\uU]", line)


def test_a_name_that_would_end_a_search_is_refused() -> None:
    sends = """sends: [{metrics: ["m'x"], type: counter, dimensions: [host]}]"""
    widget = """{title: t, metrics: ["m'x"], statistics: [Sum], by: [host]}"""

    [problem] = pack(config_of(f"watch: {{{sends}, dashboards: {{ops: [{widget}]}}}}"), "dashboard").problems
    assert "by is a search" in problem
