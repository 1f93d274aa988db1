"""What is generated, against the models of the services, the linter of CloudFormation, Terraform's language, and moto."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import boto3
import hcl2
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator
from cfnlint import ConfigMixIn
from cfnlint.runner import Runner
from moto.server import ThreadedMotoServer

from sidecar.generate.alarms import DESCRIPTION_CHARACTERS
from sidecar.generate.pack import What
from tests.generate.packs import NAMES, REGION, alarms, api_calls, configured, written

CASES: Final[list[tuple[str, What]]] = [*((name, "all") for name in NAMES), ("genkit", "metric-filters")]
PLACES: Final = {
    "${data.aws_partition.current.partition}": "${AWS::Partition}",
    "${data.aws_region.current.region}": "${AWS::Region}",
    "${data.aws_caller_identity.current.account_id}": "${AWS::AccountId}",
}
ARGUMENTS: Final = {  # of Terraform's provider, version 6, where they are not the property with underscores
    "aws_iam_policy": {"name": "ManagedPolicyName", "policy": "PolicyDocument"},
    "aws_cloudwatch_log_group": {"name": "LogGroupName"},
    "aws_sns_topic": {"name": "TopicName"},
    "aws_cloudwatch_metric_alarm": {
        "ok_actions": "OKActions",
        "evaluate_low_sample_count_percentiles": "EvaluateLowSampleCountPercentile",
        "metric_query": "Metrics",
    },
    "aws_cloudwatch_composite_alarm": {"ok_actions": "OKActions"},
    "aws_cloudwatch_dashboard": {},
    "aws_cloudwatch_query_definition": {},
    "aws_cloudwatch_log_metric_filter": {
        "name": "FilterName",
        "pattern": "FilterPattern",
        "metric_transformation": "MetricTransformations",
    },
}


@pytest.fixture
def moto() -> Iterator[str]:
    """A moto server that has nothing: its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=40).close()
    yield url
    server.stop()


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name=REGION, aws_access_key_id="AKID", aws_secret_access_key="SECRET"
    )


def input_shape(service: str, operation: str) -> Shape:
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    return shape


def violations(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """What botocore's validator leaves out: enumerations, patterns and upper bounds."""
    enum, most, pattern = (shape.metadata.get(key) for key in ("enum", "max", "pattern"))
    if enum and value not in enum:
        yield f"{path}: {value!r} is none of {enum}"
    if most is not None and (len(value) if isinstance(value, str | list | dict) else value) > most:
        yield f"{path}: more than {most}"
    if pattern and isinstance(value, str) and not re.fullmatch(pattern.replace("\\p{L}", "a-z"), value):
        yield f"{path}: {value!r} is not {pattern}"
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for key, item in value.items():
            yield from violations(item, shape.members[key], f"{path}.{key}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            yield from violations(item, shape.member, path)


@pytest.mark.parametrize(("name", "what"), CASES)
def test_every_call_is_of_the_shape_of_its_operation(name: str, what: What) -> None:
    wrong = []
    for call in api_calls(configured(name), what):
        shape = input_shape(call["service"], call["operation"])
        report = ParamValidator().validate(call["parameters"], shape)
        wrong += [report.generate_report()] if report.has_errors() else []
        wrong += violations(call["parameters"], shape, f"{call['operation']}")

    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_an_alarm_returns_one_expression_and_looks_back_no_further_than_is_allowed(name: str) -> None:
    for alarm in alarms(configured(name)):
        entries = alarm.get("Metrics", [])
        returned = [one["Id"] for one in entries if one["ReturnData"]]
        # Of anomaly detection the metric and its band are returned.
        assert returned == (["m1", "band"] if "ThresholdMetricId" in alarm else ["result"] if entries else [])
        assert bool(entries) != ("MetricName" in alarm)
        assert ("Statistic" in alarm) + ("ExtendedStatistic" in alarm) == (0 if entries else 1)
        periods = {alarm.get("Period"), *(one["MetricStat"]["Period"] for one in entries if "MetricStat" in one)} - {
            None
        }
        assert len(periods) == 1
        assert max(periods) * alarm["EvaluationPeriods"] <= 86_400
        assert alarm["TreatMissingData"] in ("notBreaching", "breaching")
        assert len(alarm["AlarmDescription"]) <= DESCRIPTION_CHARACTERS
        assert "https://" in alarm["AlarmDescription"]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_the_template_has_nothing_that_the_linter_finds(tmp_path: Path, name: str, what: What) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(written(configured(name), "cloudformation", what))

    found = list(Runner(ConfigMixIn(templates=[str(path)], regions=[REGION], include_checks=["I"])).run())

    assert [f"{one.rule.id} line {one.linenumber}: {one.message}" for one in found] == []


@pytest.mark.parametrize(("name", "what"), CASES)
def test_terraform_has_the_values_of_the_template(name: str, what: What) -> None:
    """Each resource of the module is one of the template, with the same properties."""
    template = yaml.safe_load(written(configured(name), "cloudformation", what))["Resources"]
    module = hcl2.loads(written(configured(name), "terraform", what))
    resources = [
        (text(kind), properties(text(kind), body))
        for one in module["resource"]
        for kind, labelled in one.items()
        for body in labelled.values()
    ]
    expected = [
        (TYPES[one["Type"]], {key: plain(value) for key, value in one["Properties"].items()})
        for one in template.values()
    ]

    assert resources == expected


@pytest.mark.parametrize(("name", "what"), CASES)
def test_terraform_is_formatted_as_its_own_tool_does(tmp_path: Path, name: str, what: What) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    (tmp_path / "main.tf").write_text(written(configured(name), "terraform", what))

    ran = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_moto_makes_groups_alarms_and_dashboards(moto: str, name: str) -> None:
    made = ("CreateLogGroup", "PutRetentionPolicy", "CreateTopic", "PutMetricAlarm", "PutDashboard", "CreatePolicy")
    wanted = [call for call in api_calls(configured(name)) if call["operation"] in made]
    for call in wanted:
        operation = re.sub(r"(?<!^)(?=[A-Z])", "_", call["operation"]).lower()
        getattr(client(call["service"], moto), operation)(**call["parameters"])

    by = {one: [call["parameters"] for call in wanted if call["operation"] == one] for one in made}
    found = {one["AlarmName"] for one in client("cloudwatch", moto).describe_alarms()["MetricAlarms"]}
    assert {one["AlarmName"] for one in by["PutMetricAlarm"]} <= found
    for one in by["PutDashboard"]:
        body = client("cloudwatch", moto).get_dashboard(DashboardName=one["DashboardName"])["DashboardBody"]
        assert json.loads(body)["widgets"][0]["type"] == "text"
    groups = {
        one["logGroupName"]: one.get("retentionInDays")
        for one in client("logs", moto).describe_log_groups()["logGroups"]
    }
    assert {one["logGroupName"]: one["retentionInDays"] for one in by["PutRetentionPolicy"]}.items() <= groups.items()


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_moto_makes_the_stack(moto: str) -> None:
    """The template loads, references included; moto leaves out what it does not have."""
    stacks = client("cloudformation", moto)
    stacks.create_stack(StackName="one", TemplateBody=written(configured("axonflow"), "cloudformation"))
    made = {one["ResourceType"] for one in stacks.list_stack_resources(StackName="one")["StackResourceSummaries"]}

    assert stacks.describe_stacks(StackName="one")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    assert {"AWS::SNS::Topic", "AWS::Logs::LogGroup", "AWS::CloudWatch::Dashboard", "AWS::IAM::ManagedPolicy"} <= made


TYPES: Final = {
    "AWS::IAM::ManagedPolicy": "aws_iam_policy",
    "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
    "AWS::SNS::Topic": "aws_sns_topic",
    "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
    "AWS::CloudWatch::CompositeAlarm": "aws_cloudwatch_composite_alarm",
    "AWS::CloudWatch::Dashboard": "aws_cloudwatch_dashboard",
    "AWS::Logs::QueryDefinition": "aws_cloudwatch_query_definition",
    "AWS::Logs::MetricFilter": "aws_cloudwatch_log_metric_filter",
}


def plain(value: Any) -> Any:
    """A property of the template; references as their text, and JSON text as what it says."""
    if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
        return plain(value["Fn::Sub"])
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return f"topic {value['Ref'].removesuffix('Topic').lower()}"
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and value.startswith("{\n"):
        return json.loads(value.replace("${!", "${"))
    return value


def text(value: str) -> str:
    """A text of HCL without its quotes."""
    return str(json.loads(value)) if value.startswith('"') else value


def properties(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a resource as properties of CloudFormation."""
    found: dict[str, Any] = {}
    for argument, given in body.items():
        if argument in ("__is_block__", "depends_on", "skip_destroy"):
            continue
        name = ARGUMENTS[kind].get(argument) or "".join(word.capitalize() for word in argument.split("_"))
        value = value_of(given)
        if argument == "dimensions":
            value = [{"Name": key, "Value": one} for key, one in value.items()]
        elif argument == "metric_query":
            value = [query(one) for one in value]
        elif argument == "metric_transformation":
            value = [transformation(one) for one in value]
        found[name] = value
    return found


def query(given: dict[str, Any]) -> dict[str, Any]:
    one = {"id": "Id", "expression": "Expression", "label": "Label", "return_data": "ReturnData"}
    found = {name: given[key] for key, name in one.items() if key in given}
    if "metric" in given:
        (metric,) = given["metric"]
        named = {"Namespace": metric["namespace"], "MetricName": metric["metric_name"]}
        if "dimensions" in metric:
            named["Dimensions"] = [{"Name": key, "Value": value} for key, value in metric["dimensions"].items()]
        found["MetricStat"] = {"Metric": named, "Period": metric["period"], "Stat": metric["stat"]}
    return found


def transformation(given: dict[str, Any]) -> dict[str, Any]:
    names = {"name": "MetricName", "namespace": "MetricNamespace", "value": "MetricValue", "unit": "Unit"}
    found: dict[str, Any] = {name: given[key] for key, name in names.items()}
    if "dimensions" in given:
        found["Dimensions"] = [{"Key": key, "Value": value} for key, value in given["dimensions"].items()]
    return found


def value_of(given: Any) -> Any:
    """A value of HCL as hcl2 returns it: text in quotes, expressions as `${...}`."""
    if isinstance(given, dict):
        return {text(key): value_of(one) for key, one in given.items() if key != "__is_block__"}
    if isinstance(given, list):
        return [value_of(one) for one in given]
    if not isinstance(given, str):
        return given
    if given.startswith("${jsonencode("):
        inner = given.removeprefix("${jsonencode(").removesuffix(")}")
        return value_of(hcl2.loads(f"x = {inner}\n")["x"])
    topic = re.fullmatch(r"(?:\$\{)?aws_sns_topic\.([a-z]+)\.arn\}?", given)
    if topic is not None:
        return f"topic {topic[1]}"
    plainly = text(given)
    for place, other in PLACES.items():
        plainly = plainly.replace(place, other)
        plainly = other if plainly == place[2:-1] else plainly
    return plainly.replace("$${", "${").replace("%%{", "%{")
