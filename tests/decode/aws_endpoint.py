"""An endpoint made of the decoders alone: what an SDK sends in, what the SDK is to read out, without a socket."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.decode import aws_answers, aws_faults
from sidecar.decode.aws_events import datums, decode_datum, log_events, rejected_info
from sidecar.decode.aws_faults import Fault
from sidecar.decode.aws_lists import Group, Stream, list_groups, list_streams
from sidecar.decode.aws_operations import (
    CreateLogGroup,
    CreateLogStream,
    DescribeLogGroups,
    DescribeLogStreams,
    PutLogEvents,
    PutMetricData,
    PutRetentionPolicy,
    Request,
    request,
)
from sidecar.decode.aws_request import Call, Parameters, Protocol, parameters, recognise
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Answer
from sidecar.model.samples import Sample
from tests.support.strategies import NOW

REQUEST_ID = "6f3f9b1e-0000-4000-8000-000000000001"


def read(reading: Generator[None, None, Parameters | DecodeError]) -> Parameters | DecodeError:
    """Run a reader to its end."""
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            value: Parameters | DecodeError = stop.value
            return value


@dataclass
class Endpoint:
    """Takes calls as the ingest listener would, and holds what they brought."""

    samples: list[Sample] = field(default_factory=list)
    events: list[LogEvent] = field(default_factory=list)
    errors: list[DecodeError] = field(default_factory=list)
    protocols: list[Protocol] = field(default_factory=list)
    groups: dict[str, int | None] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)
    fault: Fault | None = None  # what every call is refused with

    def take(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer one request; None where it is no call of an SDK."""
        call = recognise(method, path, {name.lower(): value for name, value in headers.items()}, body)
        if call is None:
            return None
        self.protocols.append(call.protocol)
        output = self.fault or self._output(call, body)
        if isinstance(output, Fault):
            return aws_answers.failure(call, output, REQUEST_ID)
        return aws_answers.success(call, output, REQUEST_ID)

    def _output(self, call: Call, body: bytes) -> dict[str, Any] | Fault:
        given = read(parameters(call, body)) if call.answered else {}
        if isinstance(given, DecodeError):
            self.errors.append(given)
            return aws_faults.of_error(call.service, given)
        wanted = request(call, given)
        return wanted if isinstance(wanted, Fault) else self._perform(wanted, call)

    def _perform(self, wanted: Request, call: Call) -> dict[str, Any] | Fault:
        match wanted:
            case PutMetricData() | PutLogEvents():
                return self._put(wanted, call)
            case CreateLogGroup(group):
                if group in self.groups:
                    return aws_faults.already_exists("log group")
                self.groups[group] = None
            case CreateLogStream(group, stream):
                if group not in self.groups:
                    return aws_faults.not_found("log group")
                self.streams.setdefault(group, []).append(stream)
            case PutRetentionPolicy(group, days):
                self.groups[group] = days
            case DescribeLogGroups():
                return list_groups(wanted, [Group(name, 5, days) for name, days in self.groups.items()])
            case DescribeLogStreams():
                return list_streams(wanted, [Stream(name, 6) for name in self.streams.get(wanted.group, [])])
        return {}

    def _put(self, wanted: PutMetricData | PutLogEvents, call: Call) -> dict[str, Any] | Fault:
        taken: list[Sample | LogEvent | DecodeError] = []
        if isinstance(wanted, PutMetricData):
            taken += map(decode_datum, datums(wanted))
        else:
            taken += log_events(wanted, NOW)
        refused = [(index, item) for index, item in enumerate(taken) if isinstance(item, DecodeError)]
        self.samples += [item for item in taken if isinstance(item, Sample)]
        self.events += [item for item in taken if isinstance(item, LogEvent)]
        self.errors += [error for _, error in refused]
        info = rejected_info((index, error.reason) for index, error in refused)
        if len(refused) == len(taken) and not info:
            assert call.service is not None
            rejected = [(wanted.path(index), error.detail) for index, error in refused]
            return aws_faults.of_elements(call.service, rejected, len(rejected))
        if isinstance(wanted, PutMetricData):
            return {}
        return {"nextSequenceToken": "1"} | ({"rejectedLogEventsInfo": info} if info else {})
