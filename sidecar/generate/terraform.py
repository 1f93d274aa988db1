"""Assets as Terraform: the resources and names of arguments that the modules of terraform-aws-modules have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.generate.hcl import Block, Call, Hcl, Raw, Template, written
from sidecar.generate.values import Arn, Json, Kind, Region, Resource, Topic, Value

TYPES: Final[Mapping[Kind, str]] = {
    "policy": "aws_iam_policy",
    "group": "aws_cloudwatch_log_group",
    "topic": "aws_sns_topic",
    "alarm": "aws_cloudwatch_metric_alarm",
    "composite": "aws_cloudwatch_composite_alarm",
    "dashboard": "aws_cloudwatch_dashboard",
    "query": "aws_cloudwatch_query_definition",
    "filter": "aws_cloudwatch_log_metric_filter",
}
NAMES: Final[Mapping[str, str]] = {
    "ManagedPolicyName": "name",
    "PolicyDocument": "policy",
    "LogGroupName": "name",
    "TopicName": "name",
    "EvaluateLowSampleCountPercentile": "evaluate_low_sample_count_percentiles",
    "OKActions": "ok_actions",
    "LogGroupNames": "log_group_names",
    "FilterName": "name",
    "FilterPattern": "pattern",
}
"""Arguments whose names are not those of CloudFormation with underscores."""

_ACCOUNT: Final = "${data.aws_caller_identity.current.account_id}"
_PARTITION: Final = "${data.aws_partition.current.partition}"
_REGION: Final = "${data.aws_region.current.region}"
_DATA: Final = ("aws_caller_identity", "aws_partition", "aws_region")
_ALIGNED: Final = re.compile(r"(?<!^)(?=[A-Z][a-z])")


def module(resources: Sequence[Resource]) -> str:
    """A file of HCL, formatted."""
    text = written([_block(one) for one in resources])
    blocks = [
        Block(
            "terraform",
            (),
            {},
            [Block("required_providers", (), {"aws": {"source": "hashicorp/aws", "version": ">= 6.0"}})],
        ),
        *(Block("data", (one, "current")) for one in _DATA if f"data.{one}.current" in text),
    ]
    return written(blocks) + ("\n" + text if resources else "")


def label(kind: Kind, name: str) -> str:
    """The name of a resource in the module."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    return words if not words[:1].isdigit() else f"{kind}_{words}"


def argument(name: str) -> str:
    """The argument of a property of CloudFormation."""
    return NAMES.get(name) or _ALIGNED.sub("_", name).lower()


def _block(one: Resource) -> Block:
    arguments: dict[str, Hcl] = {}
    blocks: list[Block] = []
    for name, value in one.properties.items():
        if name == "Metrics":
            blocks += _queries(value)
        elif name == "MetricTransformations":
            blocks += _transformations(value)
        elif name == "LogGroupName" and one.kind == "filter":
            arguments["log_group_name"] = _hcl(value)
        elif name == "Dimensions":
            arguments["dimensions"] = _pairs(value, "Name")
        elif name == "PolicyDocument":
            arguments["policy"] = Call("jsonencode", _hcl(value))
        else:
            arguments[_of_kind(one.kind, name)] = _hcl(value)
    if one.kind == "group":
        # Destroying the module deletes no logs, like deleting a stack of CloudFormation.
        arguments["skip_destroy"] = True
    if one.needs:
        arguments["depends_on"] = [Raw(f"{TYPES[kind]}.{label(kind, name)}") for kind, name in one.needs]
    return Block("resource", (TYPES[one.kind], label(one.kind, one.label)), arguments, blocks)


def _of_kind(kind: Kind, name: str) -> str:
    if kind == "composite" and name == "AlarmRule":
        return "alarm_rule"
    return argument(name)


def _queries(entries: Value) -> Iterator[Block]:
    for entry in _mappings(entries):
        arguments: dict[str, Hcl] = {"id": _hcl(entry["Id"])}
        blocks: list[Block] = []
        for name in ("Expression", "Label"):
            if name in entry:
                arguments[name.lower()] = _hcl(entry[name])
        arguments["return_data"] = _hcl(entry["ReturnData"])
        if "MetricStat" in entry:
            stat = entry["MetricStat"]
            metric = stat["Metric"]
            named: dict[str, Hcl] = {
                "namespace": metric["Namespace"],
                "metric_name": metric["MetricName"],
                "period": stat["Period"],
                "stat": stat["Stat"],
            }
            if "Dimensions" in metric:
                named["dimensions"] = _pairs(metric["Dimensions"], "Name")
            blocks.append(Block("metric", (), named))
        yield Block("metric_query", (), arguments, blocks)


def _transformations(entries: Value) -> Iterator[Block]:
    for entry in _mappings(entries):
        arguments: dict[str, Hcl] = {
            "name": entry["MetricName"],
            "namespace": entry["MetricNamespace"],
            "value": entry["MetricValue"],
            "unit": entry["Unit"],
        }
        if "Dimensions" in entry:
            arguments["dimensions"] = _pairs(entry["Dimensions"], "Key")
        yield Block("metric_transformation", (), arguments)


def _pairs(pairs: Value, key: str) -> dict[str, Hcl]:
    return {one[key]: one["Value"] for one in _mappings(pairs)}


def _mappings(entries: Value) -> list[Any]:
    assert isinstance(entries, Sequence)  # noqa: S101  # the makers of assets write lists here
    return list(entries)


def _hcl(value: Value) -> Hcl:
    if isinstance(value, Json):
        return Call("jsonencode", _hcl(value.value))
    if isinstance(value, Topic):
        return Raw(f"{TYPES['topic']}.{label('topic', value.severity)}.arn")
    if isinstance(value, Region):
        return Raw(_REGION[2:-1])
    if isinstance(value, Arn):
        # The resource is data, in which nothing is interpolated.
        resource = value.resource.replace("${", "$${").replace("%{", "%%{")
        return Template(f"arn:{_PARTITION}:{value.service}:{_REGION}:{_ACCOUNT}:{resource}")
    if isinstance(value, Mapping):
        return {key: _hcl(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_hcl(inner) for inner in value]
    return value
