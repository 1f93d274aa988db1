"""Assets as calls of the API: a list of services, operations and parameters, as any SDK accepts them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.generate.values import Arn, Json, Kind, Region, Resource, Topic, Value

ACCOUNT: Final = "ACCOUNT_ID"
"""Replaces the account in ARNs, which is not known here."""

_CALLS: Final[Mapping[Kind, tuple[str, str]]] = {
    "policy": ("iam", "CreatePolicy"),
    "group": ("logs", "CreateLogGroup"),
    "topic": ("sns", "CreateTopic"),
    "alarm": ("cloudwatch", "PutMetricAlarm"),
    "composite": ("cloudwatch", "PutCompositeAlarm"),
    "dashboard": ("cloudwatch", "PutDashboard"),
    "query": ("logs", "PutQueryDefinition"),
    "filter": ("logs", "PutMetricFilter"),
}


def document(resources: Sequence[Resource], region: str | None) -> str:
    """The calls as JSON, in their order; ARNs have the Region (`REGION` where it is not configured) and `ACCOUNT_ID`."""
    return json.dumps(list(calls(resources, region)), indent=2, ensure_ascii=False) + "\n"


def calls(resources: Sequence[Resource], region: str | None) -> Iterator[dict[str, Any]]:
    """Each call: service, operation, parameters."""
    where = _Where(
        region or "REGION", {one.label: str(one.properties["TopicName"]) for one in resources if one.kind == "topic"}
    )
    for one in resources:
        service, operation = _CALLS[one.kind]
        given = {key: where.rendered(value) for key, value in one.properties.items()}
        yield {"service": service, "operation": operation, "parameters": _parameters(one.kind, given)}
        if one.kind == "group" and "RetentionInDays" in given:
            retained = {"logGroupName": given["LogGroupName"], "retentionInDays": given["RetentionInDays"]}
            yield {"service": service, "operation": "PutRetentionPolicy", "parameters": retained}


def _parameters(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """Properties of CloudFormation as the API names them."""
    if kind == "topic":
        return {"Name": given["TopicName"]}
    if kind == "policy":
        text = json.dumps(given["PolicyDocument"], indent=1)
        return {"PolicyName": given["ManagedPolicyName"], "Description": given["Description"], "PolicyDocument": text}
    if kind == "group":
        return {_lower(key): value for key, value in given.items() if key != "RetentionInDays"}
    if kind in ("query", "filter"):
        lowered: dict[str, Any] = _lowered(given)
        return lowered
    return given


def _lowered(value: Any) -> Any:
    """The names of CloudWatch Logs begin with a small letter; dimensions of a filter are a mapping."""
    if isinstance(value, list):
        return [_lowered(one) for one in value]
    if isinstance(value, dict):
        return {
            _lower(key): {one["Key"]: one["Value"] for one in inner} if key == "Dimensions" else _lowered(inner)
            for key, inner in value.items()
        }
    return value


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


class _Where:
    """Fills in values that depend on the Region and the account."""

    def __init__(self, region: str, topics: Mapping[str, str]) -> None:
        self._region = region
        self._topics = topics
        self._partition = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")

    def rendered(self, value: Value) -> Any:
        if isinstance(value, Json):
            return json.dumps(self.rendered(value.value), indent=1, ensure_ascii=False)
        if isinstance(value, Region):
            return self._region
        if isinstance(value, Topic):
            return self._arn("sns", self._topics[value.severity])
        if isinstance(value, Arn):
            return self._arn(value.service, value.resource)
        if isinstance(value, Mapping):
            return {key: self.rendered(inner) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self.rendered(inner) for inner in value]
        return value

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self._partition}:{service}:{self._region}:{ACCOUNT}:{resource}"


_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
