"""A dialect of the tests' own: `name=value`, several in a body, answered in words. Two rows make inputs of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sidecar import inputs
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import Outcome
from sidecar.model.exchange import Answer, Refusal, Request, Signal
from sidecar.model.samples import Kind, Sample


def decode(element: bytes, now: float) -> Sample | DecodeError:
    """Decode `name=value`."""
    name, _, value = element.decode("ascii", "replace").partition("=")
    if not value.isdecimal():
        return DecodeError(Reason.MALFORMED_LINE, "it is not name=value")
    return Sample(name, Kind.COUNTER, (float(value),), (1.0,))


@dataclass
class Reading:
    """One body."""

    request: Request
    signal: Signal = "samples"
    documents: bool = False
    whole: bool = False
    mark: bytes = b""

    @property
    def body(self) -> bytes:
        return self.request.body

    @property
    def size_bytes(self) -> int:
        return len(self.request.body)

    def elements(self) -> Iterator[bytes]:
        return iter(self.request.body.split())

    def decode(self, element: Any, now: float) -> Sample | DecodeError:
        return decode(element, now)

    def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer:
        text = f"{outcome.accepted} yes, {outcome.rejected_total} no"
        return Answer(200, {"Content-Type": "text/x-toy"}, text.encode())


class Toy:
    """The dialect over HTTP."""

    def claims(self, head: Request) -> bool:
        return False

    def read(self, request: Request, now: float) -> Reading:
        return Reading(request)

    def refused(self, request: Request, refusal: Refusal) -> Answer:
        return Answer(refusal.status, {"Content-Type": "text/x-toy"}, f"sorry: {refusal.problem}".encode())


ROWS = (
    inputs.Row("toy", ("emf_host", "emf_port"), inputs.datagrams, inputs.elements(decode, "samples"), ("toy_udp",)),
    inputs.HttpRow("http", ("http_host", "http_port"), "/ingest/toy", lambda _: Toy(), "toy"),
)
