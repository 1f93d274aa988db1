"""Bodies of JSON events over HTTP: `/ingest/metrics`, `/ingest/logs` and `/ingest/emf`, and the answer in JSON. Pure.

A dialect has its elements, what decodes one, and the most memory that its events may need; the answer is the same for
all: `{"accepted": n, "rejected": [{"index": i, "error": "..."}]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sidecar.decode import emf, json_logs, json_metrics
from sidecar.decode.documents import documents, looks_like_json, text_lines
from sidecar.decode.forms import FORM, form_items
from sidecar.decode.items import Item
from sidecar.decode.requests import metric_items
from sidecar.model.errors import EmptyBodyError, UnsupportedError
from sidecar.model.events import Outcome
from sidecar.model.exchange import Answer, Decode, Refusal, Request, Signal

# As a message every quote and backslash is written as two bytes, and each line may become an event.
_LOG_SIZE: Final = (2, b"\n")
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}


def json_answer(status: int, answer: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, _JSON if headers is None else _JSON | headers, orjson.dumps(answer))


@dataclass(slots=True)  # not frozen: one is made for each request, and that would cost 1.5 us more
class JsonReading:
    """One body; see `model.exchange.Reading`."""

    request: Request
    signal: Signal
    size_bytes: int
    mark: bytes
    documents: bool
    parts: Callable[[Request], Iterable[Item | None]]
    decode: Decode
    whole: bool = False

    @property
    def body(self) -> bytes:
        """Of the request."""
        return self.request.body

    def elements(self) -> Iterable[Item | None]:
        """The items of the body."""
        return self.parts(self.request)

    def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer:
        """202 where anything was accepted, else 400."""
        answer: dict[str, Any] = {
            "accepted": outcome.accepted,
            "rejected": [{"index": index, "error": error} for index, error in outcome.rejected],
        }
        if durable is False and outcome.accepted:
            answer["durable"] = False
        if outcome.rejected_total > len(outcome.rejected):
            answer["rejected_total"] = outcome.rejected_total
        if not outcome.accepted and not outcome.rejected:
            answer["error"] = "the body holds no event"
        return json_answer(202 if outcome.accepted else 400, answer)


@dataclass(frozen=True, slots=True)
class JsonBodies:
    """One kind of JSON body; see `model.exchange.Dialect`.

    Attributes:
        signal: of what it mostly holds.
        parts: gives the items of a request; may raise UnsupportedError.
        decode: decodes an item.
        each_byte: the most memory (bytes) that the events of a body need for each of its bytes.
        mark: as of `Reading`.
        documents: there are shortcuts for its items.
    """

    signal: Signal
    parts: Callable[[Request], Iterable[Item | None]]
    decode: Decode
    each_byte: int
    mark: bytes
    documents: bool = False

    def claims(self, head: Request) -> bool:
        """Return False: the path says it."""
        del head
        return False

    def read(self, request: Request, now: float) -> JsonReading:
        """Begin to read; raises EmptyBodyError."""
        del now
        body = request.body
        if not body or body.isspace():
            raise EmptyBodyError("the body is empty")
        return JsonReading(
            request, self.signal, self.each_byte * len(body), self.mark, self.documents, self.parts, self.decode
        )

    def refused(self, request: Request, refusal: Refusal) -> Answer:
        """`{"error": "..."}`."""
        del request
        return json_answer(refusal.status, {"error": refusal.problem}, refusal.headers())


def metrics() -> JsonBodies:
    """`POST /ingest/metrics`: JSON metrics."""
    return JsonBodies("samples", _metrics, json_metrics.decode, 1, b"", documents=True)


def logs() -> JsonBodies:
    """`POST /ingest/logs`: log events in JSON, a form, or text with one event a line where the type is text/plain."""
    return JsonBodies("log_events", _logs, json_logs.decode, *_LOG_SIZE)


def emf_documents(decoder: emf.Decoder) -> JsonBodies:
    """`POST /ingest/emf`: documents in embedded metric format, one a line, one alone, or an array of them."""
    return JsonBodies(decoder.signal, _documents, decoder.decode_item, *_LOG_SIZE)


def _metrics(request: Request) -> Iterable[Item | None]:
    if not looks_like_json(request.body):
        raise UnsupportedError(f"{request.content_type}: the body must be JSON, an object, an array or one a line")
    return metric_items(documents(request.body, texts=False, requests=True))


def _logs(request: Request) -> Iterable[Item | None]:
    body, content_type = request.body, request.content_type
    if content_type == "text/plain":
        return text_lines(body)
    if looks_like_json(body):
        return documents(body)
    if content_type == FORM:
        return form_items(body)
    raise UnsupportedError(f"{content_type}: the body must be JSON, a form, or text/plain with one event a line")


def _documents(request: Request) -> Iterable[Item | None]:
    if not looks_like_json(request.body):
        raise UnsupportedError(f"{request.content_type}: the body must be JSON documents, one a line")
    return documents(request.body)
