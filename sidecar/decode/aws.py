"""Calls of AWS SDKs as a dialect over HTTP: which call a request is, its events, and its answer. Pure.

The parts: `aws_request` recognises a call and reads its parameters, `aws_operations` checks them, `aws_events` reads
datums and log events, `aws_lists` lists groups and streams, `aws_answers` writes answers and `aws_faults` their errors.
Groups, streams and retention asked for are noted in `LogGroups`, and honoured when events are delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from sidecar.decode import aws_answers, aws_faults, json_metrics
from sidecar.decode.aws_events import datums, log_events, rejected_info
from sidecar.decode.aws_faults import Fault, Service
from sidecar.decode.aws_known import Known
from sidecar.decode.aws_lists import Group, Stream, list_groups, list_streams
from sidecar.decode.aws_operations import (
    CreateLogGroup,
    CreateLogStream,
    DescribeLogGroups,
    DescribeLogStreams,
    PutLogEvents,
    PutMetricData,
    PutRetentionPolicy,
)
from sidecar.decode.aws_operations import (
    Request as Wanted,
)
from sidecar.decode.aws_operations import (
    request as check,
)
from sidecar.decode.aws_other import FaultReading, PassedReading, route
from sidecar.decode.aws_request import Call, Protocol, parameters, recognise
from sidecar.decode.forms import FORM
from sidecar.decode.items import Item
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent, Outcome
from sidecar.model.exchange import Answer, Event, Events, Forward, Refusal, Request, Signal
from sidecar.model.limits import VALUES_PER_DATUM
from sidecar.model.log_groups import LogGroups

OWN_AGENT: Final = "cloudwatch-sidecar"  # in the User-Agent of requests that a sidecar makes
_LOOP: Final = (
    "This request comes from a sidecar, which would deliver to a sidecar: set AWS_ENDPOINT_URL_CLOUDWATCH and "
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS for the application alone."
)
_SIGNALS: Final[dict[str, Signal]] = {"PutMetricData": "samples", "PutLogEvents": "log_events"}
_LATE: Final = (Reason.TIMESTAMP_TOO_OLD, Reason.TIMESTAMP_TOO_NEW)  # CloudWatch Logs drops these events alone


class AwsCalls:
    """The dialect; see `model.exchange.Dialect`."""

    def __init__(
        self,
        groups: LogGroups,
        *,
        strict: bool,
        new_id: Callable[[], str],
        pass_through: Collection[str] = (),
        forward: Forward | None = None,
    ) -> None:
        """Describe how calls are answered.

        Args:
            groups: where groups, streams and retention asked for are noted.
            strict: refuse a request of which one datum or log event is refused, as AWS does.
            new_id: returns a request id, as AWS has them.
            pass_through: names of other operations that are sent to AWS.
            forward: sends them; None: none is sent.
        """
        self._groups = groups
        self._known = Known()
        self._strict = strict
        self._new_id = new_id
        self._pass_through = frozenset(pass_through if forward is not None else ())
        self._forward = forward

    def claims(self, head: Request) -> bool:
        """True if it may be a call: its head says so, or its body is a form, which may."""
        return head.method == "POST" and (
            head.content_type == FORM or recognise(head.method, head.path, head.headers, b"") is not None
        )

    def read(self, request: Request, now: float) -> AwsReading | PassedReading | FaultReading | None:
        """Begin to read a request; None where it is no call."""
        call = recognise(request.method, request.path, request.headers, request.body)
        if call is None:
            return None
        if OWN_AGENT in request.headers.get("user-agent", ""):
            # From an endpoint in a profile, or of another sidecar: what is delivered here would never reach AWS.
            return FaultReading(call, aws_faults.unavailable(_LOOP), self._new_id())
        if self._forward is not None and call.service is not None and call.operation in self._pass_through:
            return PassedReading(call, request, self._forward, self._new_id())
        request_id = self._new_id()
        return AwsReading(
            call, request.body, now, self._groups, self._known, strict=self._strict, request_id=request_id
        )

    def refused(self, request: Request, refusal: Refusal) -> Answer:
        """Write a refusal as an error that SDKs raise typed: 429 as throttling, which they retry."""
        call = recognise(request.method, request.path, request.headers, request.body)
        if call is None:  # a form whose body could not be read
            call = Call(Protocol.QUERY, Service.METRICS, "", query_mode=False)
        answer = aws_answers.failure(call, _fault(refusal), self._new_id())
        return answer._replace(headers=answer.headers | refusal.headers(), route=route(call))


class AwsReading:
    """One call; see `model.exchange.Reading`."""

    def __init__(
        self,
        call: Call,
        body: bytes,
        now: float,
        groups: LogGroups,
        known: Known,
        *,
        strict: bool,
        request_id: str,
    ) -> None:
        """Begin to read.

        Args:
            call: as recognised.
            body: inflated.
            now: the time of arrival, wall seconds.
            groups: as of `AwsCalls`.
            known: what datums of earlier calls had.
            strict: as of `AwsCalls`.
            request_id: for the answer.
        """
        self._call = call
        self.body = body
        self._now = now
        self._groups = groups
        self._known = known
        self._request_id = request_id
        self.signal: Signal | None = _SIGNALS.get(call.operation) if call.answered else None
        self.documents = self.signal == "samples" and not strict
        self.whole = strict and self.signal is not None
        self.size_bytes = len(body) if self.signal else 0
        # Each log event has the key once. Messages that have the word, too, count more than they need.
        self.mark = b"timestamp" if self.signal == "log_events" else b""
        self._fault: Fault | None = None  # of the request as a whole
        self._wanted: PutMetricData | PutLogEvents | None = None
        self._output: dict[str, Any] = {}
        self._too_old = self._too_new = -1  # index of the last, and of the first such event

    def elements(self) -> Iterator[Any | None]:
        """The datums as items, or the log events; of a request that is refused whole one error, which is counted."""
        given: Any = {}
        if self._call.answered:
            given = yield from parameters(self._call, self.body, self._known)
        if isinstance(given, DecodeError):
            self._fault = aws_faults.of_error(self._call.service, given)
            if self.signal is not None:
                yield given if self.signal == "log_events" else Item(None, error=given)
            return
        wanted = check(self._call, given)
        if isinstance(wanted, Fault):
            self._fault = wanted
            if self.signal is not None:
                error = DecodeError(Reason.REQUEST_REFUSED, wanted.message)
                yield error if self.signal == "log_events" else Item(None, error=error)
        elif isinstance(wanted, PutMetricData):
            self._wanted = wanted
            yield from datums(wanted)
        elif isinstance(wanted, PutLogEvents):
            self._wanted = wanted
            self._groups.create_stream(wanted.group, wanted.stream, self._now_ms)
            yield from self._log_events(wanted)
        else:
            self._perform(wanted)

    def decode(self, element: Any, now: float) -> Event | Events:
        """Decode one datum; log events are decoded already."""
        if self.signal == "log_events":
            event: LogEvent | DecodeError = element
            return event
        if self.whole and len(element.value.get("Values", ()) if element.error is None else ()) > VALUES_PER_DATUM:
            return DecodeError(Reason.TOO_MANY_ITEMS, f"a datum has at most {VALUES_PER_DATUM} Values")
        return json_metrics.decode(element, now)

    def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer:
        """An output where anything was accepted; else, and in strict mode where anything was not, an error."""
        del durable  # SDKs have no word for it
        fault = self._fault or self._refused(outcome)
        if fault is None:
            answer = aws_answers.success(self._call, self._output, self._request_id)
            return answer._replace(route=route(self._call))
        answer = aws_answers.failure(self._call, fault, self._request_id)
        problem = "" if self._call.answered else fault.message
        return answer._replace(route=route(self._call), problem=problem)

    @property
    def _now_ms(self) -> int:
        return int(self._now * 1_000)

    def _log_events(self, wanted: PutLogEvents) -> Iterator[LogEvent | DecodeError]:
        for index, event in enumerate(log_events(wanted, self._now)):
            if isinstance(event, DecodeError):
                if event.reason is Reason.TIMESTAMP_TOO_OLD:
                    self._too_old = index
                elif event.reason is Reason.TIMESTAMP_TOO_NEW and self._too_new < 0:
                    self._too_new = index
            yield event
        marks = ((self._too_old, Reason.TIMESTAMP_TOO_OLD), (self._too_new, Reason.TIMESTAMP_TOO_NEW))
        info = rejected_info(mark for mark in marks if mark[0] >= 0)
        self._output = {"nextSequenceToken": "1"} | ({"rejectedLogEventsInfo": info} if info else {})

    def _perform(self, wanted: Wanted) -> None:
        """Carry out a call that brings no events."""
        groups, now_ms = self._groups, self._now_ms
        match wanted:
            case CreateLogGroup(group):
                if not groups.create(group, now_ms):
                    self._fault = aws_faults.already_exists("log group")
            case CreateLogStream(group, stream):
                if not groups.create_stream(group, stream, now_ms):
                    self._fault = aws_faults.already_exists("log stream")
            case PutRetentionPolicy(group, days):
                groups.retain(group, days, now_ms)
            case DescribeLogGroups():
                known = [Group(one.name, one.created_ms, one.retention_days) for one in groups.groups()]
                self._output = list_groups(wanted, known)
            case DescribeLogStreams():
                # None for a group that is not known: it may exist, and be written to.
                self._output = list_streams(wanted, [Stream(*one) for one in groups.streams(wanted.group).items()])

    def _refused(self, outcome: Outcome) -> Fault | None:
        """The error for a request of which no element was accepted."""
        wanted, service = self._wanted, self._call.service
        if wanted is None or service is None or outcome.accepted or not outcome.rejected:
            return None
        reasons = [(index, *text.partition(": ")[::2]) for index, text in outcome.rejected]
        late = self._output.get("rejectedLogEventsInfo")
        if late and (not self.whole or all(reason in _LATE for _, reason, _ in reasons)):
            return None
        if all(reason == Reason.MEMORY_FULL for _, reason, _ in reasons):
            return aws_faults.throttled("The sidecar's buffers are full.")
        wrong = [(wanted.path(index), detail) for index, reason, detail in reasons if reason != Reason.REQUEST_REFUSED]
        return aws_faults.of_elements(service, wrong, outcome.rejected_total - (len(reasons) - len(wrong)))


def _fault(refusal: Refusal) -> Fault:
    if refusal.status == 413:
        return aws_faults.too_large(refusal.problem)
    if refusal.status == 429:
        return aws_faults.throttled(refusal.problem)
    if refusal.status == 503:
        return aws_faults.unavailable(refusal.problem)
    if refusal.status == 408:
        return Fault("RequestTimeout", refusal.problem, 408)
    return aws_faults.unreadable(refusal.problem)
