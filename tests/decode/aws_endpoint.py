"""An endpoint made of the dialect alone: what an SDK sends in, what the SDK is to read out, without a socket."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from multidict import CIMultiDict

from sidecar.decode import aws_answers
from sidecar.decode.aws import AwsCalls
from sidecar.decode.aws_faults import Fault
from sidecar.decode.aws_request import Protocol, recognise
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent, Outcome
from sidecar.model.exchange import Answer, Reading, Request
from sidecar.model.log_groups import LogGroups
from sidecar.model.samples import Sample
from tests.support.strategies import NOW

REQUEST_ID = "6f3f9b1e-0000-4000-8000-000000000001"
Read = TypeVar("Read")


def read(reading: Generator[None, None, Read]) -> Read:
    """Run a reader to its end."""
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            value: Read = stop.value
            return value


class Endpoint:
    """Processes calls as the ingest listener would, and holds what they brought; `fault` is what all are refused with."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.samples: list[Sample] = []
        self.events: list[LogEvent] = []
        self.errors: list[DecodeError] = []
        self.protocols: list[Protocol] = []
        self.fault = fault
        self._dialect = AwsCalls(LogGroups(), strict=False, new_id=lambda: REQUEST_ID)

    def take(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer one request; None where it is no call of an SDK."""
        request = Request(method, path, CIMultiDict(headers), "", body)
        call = recognise(method, path, request.headers, body)
        reading = self._dialect.read(request, NOW)
        if call is None or reading is None:
            return None
        self.protocols.append(call.protocol)
        if self.fault is not None:
            return aws_answers.failure(call, self.fault, REQUEST_ID)
        answer = reading.answer(self._process(reading), durable=None)
        assert isinstance(answer, Answer)
        return answer

    def _process(self, reading: Reading) -> Outcome:
        outcome = Outcome(0, [], 0)
        for index, element in enumerate(element for element in reading.elements() if element is not None):
            error = self._put(reading.decode(element, NOW))
            if error is None:
                outcome.accepted += 1
            else:
                outcome.rejected.append((index, str(error)))
                outcome.rejected_total += 1
        return outcome

    def _put(self, event: Any) -> DecodeError | None:
        """Hold what an element is; returns the error where there is one."""
        match event:
            case Sample():
                self.samples.append(event)
            case LogEvent():
                self.events.append(event)
            case DecodeError():
                self.errors.append(event)
                return event
            case _:
                return next((error for one in event if (error := None if one is None else self._put(one))), None)
        return None
