"""Lists of log groups and streams: the outputs of DescribeLogGroups and DescribeLogStreams. Pure.

Log handlers ask for them before they send: watchtower creates the group unless it is listed, winston-cloudwatch sends
nothing until its stream is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sidecar.decode.aws_operations import DescribeLogGroups, DescribeLogStreams


class Group(NamedTuple):
    """A log group, as it is listed; `retention_days` None: for ever, or not known."""

    name: str
    created_ms: int
    retention_days: int | None = None


class Stream(NamedTuple):
    """A log stream, as it is listed."""

    name: str
    created_ms: int


def list_groups(request: DescribeLogGroups, groups: Iterable[Group]) -> dict[str, Any]:
    """The output of DescribeLogGroups: a page of the groups asked for, by name, and where the next one begins."""
    wanted = [group for group in groups if group.name.startswith(request.prefix) and request.pattern in group.name]
    page, output = _page(wanted, request.limit, request.after)
    output["logGroups"] = [
        {"logGroupName": group.name, "creationTime": group.created_ms}
        | ({} if group.retention_days is None else {"retentionInDays": group.retention_days})
        for group in page
    ]
    return output


def list_streams(request: DescribeLogStreams, streams: Iterable[Stream]) -> dict[str, Any]:
    """The output of DescribeLogStreams: a page of the streams asked for, by name, and where the next one begins."""
    wanted = [stream for stream in streams if stream.name.startswith(request.prefix)]
    page, output = _page(wanted, request.limit, request.after)
    output["logStreams"] = [{"logStreamName": stream.name, "creationTime": stream.created_ms} for stream in page]
    return output


def _page(wanted: list[Any], limit: int, after: str) -> tuple[list[Any], dict[str, Any]]:
    rest = sorted(item for item in wanted if item.name > after)
    page = rest[:limit]
    return page, {"nextToken": page[-1].name} if len(rest) > limit else {}
