"""Assets as a CloudFormation template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from sidecar.generate.values import Arn, Json, Kind, Region, Resource, Topic, Value

TYPES: Final[Mapping[Kind, str]] = {
    "policy": "AWS::IAM::ManagedPolicy",
    "group": "AWS::Logs::LogGroup",
    "topic": "AWS::SNS::Topic",
    "alarm": "AWS::CloudWatch::Alarm",
    "composite": "AWS::CloudWatch::CompositeAlarm",
    "dashboard": "AWS::CloudWatch::Dashboard",
    "query": "AWS::Logs::QueryDefinition",
    "filter": "AWS::Logs::MetricFilter",
}
_ENDINGS: Final[Mapping[Kind, str]] = {
    "policy": "Policy",
    "group": "LogGroup",
    "topic": "Topic",
    "alarm": "Alarm",
    "composite": "Composite",
    "dashboard": "Dashboard",
    "query": "Query",
    "filter": "Filter",
}


def template(resources: Sequence[Resource], title: str) -> str:
    """The template as YAML.

    Args:
        resources: in their order.
        title: what the stack is, for people.
    """
    document: dict[str, Any] = {"AWSTemplateFormatVersion": "2010-09-09", "Description": title, "Resources": {}}
    for one in resources:
        entry: dict[str, Any] = {"Type": TYPES[one.kind]}
        if one.needs:
            entry["DependsOn"] = [logical_id(kind, label) for kind, label in one.needs]
        if one.kind == "group":
            # Deleting a stack deletes no log.
            entry |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        entry["Properties"] = {key: _rendered(value) for key, value in one.properties.items()}
        document["Resources"][logical_id(one.kind, one.label)] = entry
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def logical_id(kind: Kind, label: str) -> str:
    """The logical ID of a resource: letters and digits."""
    words = re.split(r"[^A-Za-z0-9]+", label)
    return "".join(word[:1].upper() + word[1:] for word in words) + _ENDINGS[kind]


class _Dumper(yaml.SafeDumper):
    """Writes lists within mappings indented, and long text with lines as a block."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _rendered(value: Value) -> Any:
    if isinstance(value, Json):
        leaves: list[Value] = []
        mark = _unused(value)
        text = json.dumps(_marked(value.value, mark, leaves), indent=1, ensure_ascii=False)
        if not leaves:
            return text
        escaped = text.replace("${", "${!")  # in Fn::Sub it begins a reference
        return {"Fn::Sub": re.sub(f"{mark}([0-9]+){mark}", lambda at: _substituted(leaves[int(at[1])]), escaped)}
    if isinstance(value, Region | Arn):
        return {"Fn::Sub": _substituted(value)}
    if isinstance(value, Topic):
        return {"Ref": logical_id("topic", value.severity)}
    if isinstance(value, Mapping):
        return {key: _rendered(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rendered(inner) for inner in value]
    return value


def _unused(value: Json) -> str:
    """A character for private use that is nowhere in the value."""
    text = json.dumps(value.value, ensure_ascii=False, default=repr)
    return next(one for one in map(chr, range(0xE000, 0x110000)) if one not in text)


def _marked(value: Value, mark: str, leaves: list[Value]) -> Any:
    """A value for JSON text, with marks in the places of what is known only in the stack."""
    if isinstance(value, Region | Arn):
        leaves.append(value)
        return f"{mark}{len(leaves) - 1}{mark}"
    if isinstance(value, Mapping):
        return {key: _marked(inner, mark, leaves) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_marked(inner, mark, leaves) for inner in value]
    return value


def _substituted(leaf: Value) -> str:
    if isinstance(leaf, Arn):
        return f"arn:${{AWS::Partition}}:{leaf.service}:${{AWS::Region}}:${{AWS::AccountId}}:{leaf.resource}"
    return "${AWS::Region}"
