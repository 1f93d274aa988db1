"""Calls of AWS SDKs that are not read here: passed to AWS, or refused by their head. Pure.

Each is a reading (`model.exchange.Reading`) without events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sidecar.decode import aws_answers, aws_faults
from sidecar.decode.aws_faults import Fault, Service
from sidecar.decode.aws_request import METRICS_TARGET, Call, Protocol
from sidecar.model.errors import BusyError, DeliveryError
from sidecar.model.events import Outcome
from sidecar.model.exchange import Answer, Event, Events, Forward, Request


def route(call: Call) -> str:
    """What the answer to a call is counted under: one of a bounded set."""
    return call.operation if call.answered else "other"


class _WithoutEvents:
    """What both have in common."""

    signal = None
    size_bytes = 0
    mark = body = b""
    documents = False
    whole = False

    def elements(self) -> Iterator[Any | None]:
        """None."""
        return iter(())

    def decode(self, element: Any, now: float) -> Event | Events:
        """Never called, since there are no elements."""
        del element, now
        raise AssertionError("a call without events has no element to decode")


class FaultReading(_WithoutEvents):
    """One call that is refused by its head."""

    def __init__(self, call: Call, fault: Fault, request_id: str) -> None:
        """Begin to read.

        Args:
            call: as recognised.
            fault: what it is refused with.
            request_id: for the answer.
        """
        self._call = call
        self._fault = fault
        self._request_id = request_id

    def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer:
        """The error."""
        del outcome, durable
        answer = aws_answers.failure(self._call, self._fault, self._request_id)
        return answer._replace(route=route(self._call), problem=self._fault.message)


class PassedReading(_WithoutEvents):
    """One call that AWS answers."""

    def __init__(self, call: Call, request: Request, forward: Forward, request_id: str) -> None:
        """Begin to read.

        Args:
            call: as recognised.
            request: as it came.
            forward: sends it to AWS.
            request_id: for the answer where AWS gives none.
        """
        self._call = call
        self._request = request
        self._forward = forward
        self._request_id = request_id

    async def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer:
        """The answer of AWS; an error that SDKs retry where there is none."""
        del outcome, durable
        call, operation = self._call, self._call.operation
        service = Service.METRICS if call.service is None else call.service
        path = f"/service/{METRICS_TARGET}/operation/{operation}" if call.protocol is Protocol.CBOR else "/"
        try:
            answer = await self._forward(service.value, replace(self._request, path=path))
        except BusyError:
            fault = aws_faults.throttled("The sidecar passes too many calls through.")
        except DeliveryError as error:
            fault = aws_faults.unavailable(f"The sidecar could not pass {operation} through: {error}")
        else:
            return answer._replace(route=operation)
        return aws_answers.failure(call, fault, self._request_id)._replace(route=operation, problem=fault.message)
