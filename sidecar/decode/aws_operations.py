"""Operations of CloudWatch and CloudWatch Logs: parameters in, checked requests or what refuses them out. Pure.

Checked is what concerns a whole request; its datums and log events are read one by one by `aws_events`.
Source: the service models of CloudWatch (2010-08-01) and CloudWatch Logs (2014-03-28).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from sidecar.decode import aws_faults
from sidecar.decode.aws_faults import Fault, Service, constraint
from sidecar.decode.aws_request import OPERATIONS, Call, Parameters
from sidecar.model.limits import GROUP_CHARACTERS, ITEMS_PER_BODY, RETENTION_DAYS, STREAM_CHARACTERS

_GROUP_PATTERN: Final = r"[\.\-_/#A-Za-z0-9]+"
_STREAM_PATTERN: Final = r"[^:*]*"
_ARN: Final = re.compile(r"arn:[^:]*:logs:[^:]*:[^:]*:log-group:([^:]*)(?::\*)?")
_PAGE: Final = 50  # DescribeLimit: the most, and what is given where the caller names none


class PutMetricData(NamedTuple):
    """Metrics of one namespace.

    Attributes:
        namespace: not checked.
        lists: the elements of MetricData, then those of each element of EntityMetricData; each list with its path.
        ignored: the names of parameters that are not read: those of an entity.
    """

    namespace: str
    lists: list[tuple[str, list[Any]]]
    ignored: tuple[str, ...]

    def __len__(self) -> int:
        """How many datums."""
        return sum(len(datums) for _, datums in self.lists)

    def path(self, index: int) -> str:
        """The path of a datum, as CloudWatch names it (`MetricData.member.1`), by its index from 0."""
        for path, datums in self.lists:
            if index < len(datums):
                return f"{path}.member.{index + 1}"
            index -= len(datums)
        raise IndexError(index)


class PutLogEvents(NamedTuple):
    """Log events of one stream; `events` are the elements of logEvents, not checked."""

    group: str
    stream: str
    events: list[Any]

    def __len__(self) -> int:
        """How many log events."""
        return len(self.events)

    def path(self, index: int) -> str:
        """The path of an event, as CloudWatch Logs names it (`logEvents.1.member`), by its index from 0."""
        return f"logEvents.{index + 1}.member"


class CreateLogGroup(NamedTuple):
    """A group is to exist. Tags, key and class are not read."""

    group: str


class CreateLogStream(NamedTuple):
    """A stream is to exist."""

    group: str
    stream: str


class PutRetentionPolicy(NamedTuple):
    """A group is to keep its events for so many days."""

    group: str
    days: int


class DescribeLogGroups(NamedTuple):
    """Groups are to be listed: those whose name begins with `prefix` and contains `pattern`, after `after`."""

    prefix: str
    pattern: str
    limit: int
    after: str


class DescribeLogStreams(NamedTuple):
    """Streams of a group are to be listed: those whose name begins with `prefix`, after `after`."""

    group: str
    prefix: str
    limit: int
    after: str


Request: TypeAlias = (
    PutMetricData
    | PutLogEvents
    | CreateLogGroup
    | CreateLogStream
    | PutRetentionPolicy
    | DescribeLogGroups
    | DescribeLogStreams
)


class _Refused(Exception):  # noqa: N818  # it is an answer, not a mistake of ours
    """Raised within this module to refuse a request."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def request(call: Call, parameters: Parameters) -> Request | Fault:
    """Check the parameters of a call that concern the whole of it.

    Returns:
        The request; or what it is refused with: an operation that is not answered, a parameter that is missing or
        wrong, over 100,000 datums or log events.
    """
    if not call.answered:
        answered = () if call.service is None else OPERATIONS[call.service]
        return aws_faults.unknown_operation(call.service, call.operation, answered)
    try:
        return _READERS[call.operation](parameters)
    except _Refused as refused:
        return refused.fault


# --- parameters ---------------------------------------------------------------------------------------


def _put_metric_data(parameters: Parameters) -> PutMetricData:
    namespace = parameters.get("Namespace")
    if namespace is None or namespace == "":
        raise _Refused(aws_faults.missing(Service.METRICS, "Namespace"))
    if not isinstance(namespace, str):
        raise _invalid_metric("The parameter Namespace must be text.")
    lists: list[tuple[str, list[Any]]] = []
    ignored: tuple[str, ...] = ()
    data = parameters.get("MetricData")
    if data is not None:
        lists.append(("MetricData", _list(data, "MetricData")))
    for number, entity in enumerate(_list(parameters.get("EntityMetricData") or [], "EntityMetricData"), 1):
        path = f"EntityMetricData.member.{number}.MetricData"
        if not isinstance(entity, dict):
            raise _invalid_metric(f"The parameter EntityMetricData.member.{number} must be a structure.")
        lists.append((path, _list(entity.get("MetricData") or [], path)))
        ignored = ("Entity",)
    put = PutMetricData(namespace, lists, ignored)
    if not len(put):
        raise _Refused(aws_faults.missing(Service.METRICS, "MetricData"))
    if len(put) > ITEMS_PER_BODY:
        raise _invalid_metric(f"The collection MetricData must not have a size greater than {ITEMS_PER_BODY}.")
    return put


def _list(value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid_metric(f"The parameter {path} must be a list.")
    return value


def _invalid_metric(message: str) -> _Refused:
    return _Refused(aws_faults.invalid(Service.METRICS, message))


def _put_log_events(parameters: Parameters) -> PutLogEvents:
    group, stream = _group(parameters), _stream(parameters)
    events = parameters.get("logEvents")
    if not isinstance(events, list) or not events:
        rule = "Member must have length greater than or equal to 1"
        raise _Refused(constraint("logEvents", events, "Member must not be null" if events is None else rule))
    if len(events) > ITEMS_PER_BODY:
        rule = f"Member must have length less than or equal to {ITEMS_PER_BODY}"
        raise _Refused(constraint("logEvents", "...", rule))
    return PutLogEvents(group, stream, events)


def _create_log_group(parameters: Parameters) -> CreateLogGroup:
    group = _group(parameters)
    if group.lower().startswith("aws/"):
        raise _Refused(aws_faults.invalid(Service.LOGS, "Log groups starting with AWS/ are reserved for AWS."))
    return CreateLogGroup(group)


def _create_log_stream(parameters: Parameters) -> CreateLogStream:
    return CreateLogStream(_group(parameters), _stream(parameters))


def _put_retention_policy(parameters: Parameters) -> PutRetentionPolicy:
    group, days = _group(parameters), parameters.get("retentionInDays")
    if isinstance(days, bool) or not isinstance(days, int) or days not in RETENTION_DAYS:
        allowed = ", ".join(map(str, RETENTION_DAYS))
        raise _Refused(constraint("retentionInDays", days, f"Member must satisfy enum value set: [{allowed}]"))
    return PutRetentionPolicy(group, days)


def _describe_log_groups(parameters: Parameters) -> DescribeLogGroups:
    prefix, pattern = _text(parameters, "logGroupNamePrefix"), _text(parameters, "logGroupNamePattern")
    return DescribeLogGroups(prefix, pattern, _limit(parameters), _text(parameters, "nextToken"))


def _describe_log_streams(parameters: Parameters) -> DescribeLogStreams:
    identifier = _text(parameters, "logGroupIdentifier")
    if identifier and "logGroupName" not in parameters:
        found = _ARN.fullmatch(identifier)
        parameters = {**parameters, "logGroupName": found[1] if found else identifier}
    prefix = _text(parameters, "logStreamNamePrefix")
    return DescribeLogStreams(_group(parameters), prefix, _limit(parameters), _text(parameters, "nextToken"))


_READERS: Final[dict[str, Callable[[Parameters], Request]]] = {
    "PutMetricData": _put_metric_data,
    "PutLogEvents": _put_log_events,
    "CreateLogGroup": _create_log_group,
    "CreateLogStream": _create_log_stream,
    "PutRetentionPolicy": _put_retention_policy,
    "DescribeLogGroups": _describe_log_groups,
    "DescribeLogStreams": _describe_log_streams,
}


def _group(parameters: Parameters) -> str:
    return _name(parameters, "logGroupName", _GROUP_PATTERN, GROUP_CHARACTERS)


def _stream(parameters: Parameters) -> str:
    return _name(parameters, "logStreamName", _STREAM_PATTERN, STREAM_CHARACTERS)


def _name(parameters: Parameters, parameter: str, pattern: str, most: int) -> str:
    name = parameters.get(parameter)
    if name is None:
        raise _Refused(constraint(parameter, None, "Member must not be null"))
    if not isinstance(name, str) or not name:
        raise _Refused(constraint(parameter, name, "Member must have length greater than or equal to 1"))
    if len(name) > most:
        raise _Refused(constraint(parameter, name, f"Member must have length less than or equal to {most}"))
    if not re.fullmatch(pattern, name):
        raise _Refused(constraint(parameter, name, f"Member must satisfy regular expression pattern: {pattern}"))
    return name


def _text(parameters: Parameters, parameter: str) -> str:
    value = parameters.get(parameter)
    if value is not None and not isinstance(value, str):
        raise _Refused(constraint(parameter, value, "Member must be text"))
    return value or ""


def _limit(parameters: Parameters) -> int:
    limit = parameters.get("limit")
    if limit is None:
        return _PAGE
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _PAGE:
        raise _Refused(constraint("limit", limit, f"Member must have value between 1 and {_PAGE}"))
    return limit
