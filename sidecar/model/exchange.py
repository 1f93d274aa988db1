"""A request over HTTP and its answer, as transports, dialects and the pipeline pass them to each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent, Outcome
from sidecar.model.samples import Sample

Event: TypeAlias = Sample | LogEvent | DecodeError
Events: TypeAlias = Iterator[Event | None]
"""The events of one element that has several; None between them, where decoding takes long: yield to the event loop."""

Steps: TypeAlias = Iterator[DecodeError | None]
"""The work on one element, step by step: why one of its events was refused, else None; the caller may let others run between any two."""

Signal: TypeAlias = Literal["samples", "log_events"]
"""A ledger: where an element is counted that cannot be decoded, and whose memory a body needs."""

Decode: TypeAlias = Callable[[Any, float], Event | Events]
"""Decodes one element that arrived at a time (wall seconds); returns or raises DecodeError where it cannot."""


Forward: TypeAlias = "Callable[[str, Request], Awaitable[Answer]]"
"""Sends a request for a service to AWS, and returns its answer; raises BusyError or DeliveryError."""


@dataclass(slots=True)
class Request:
    """A request; the body is set when it has been read.

    Attributes:
        method: in capitals.
        path: without its query.
        headers: looked up without regard to case.
        content_type: the media type, in lower case and without parameters.
        body: inflated; empty while only the head is known.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content_type: str
    body: bytes = b""


class Refusal(NamedTuple):
    """Why nothing of a body was accepted, in HTTP's terms, before a dialect has put it in its own.

    Attributes:
        status: HTTP.
        problem: a sentence for the sender.
        retry_after: whole seconds, or None.
        close: close the connection after the answer.
    """

    status: int
    problem: str
    retry_after: int | None = None
    close: bool = False

    def headers(self) -> dict[str, str]:
        """`Retry-After` and `Connection`, where they are due."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | {"Connection": "close"} if self.close else headers


class Answer(NamedTuple):
    """An answer.

    Attributes:
        status: HTTP.
        headers: with the content type.
        body: as it is sent.
        route: what it is counted under where the path does not say what was asked for: one of a bounded set.
        problem: a sentence for the log, where somebody should look at it; empty for none.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    route: str = ""
    problem: str = ""


class Reading(Protocol):
    """One body being read."""

    @property
    def signal(self) -> Signal | None:
        """Whose room its events need; None: it has none."""
        ...

    @property
    def size_bytes(self) -> int:
        """The most memory its events may need until they are delivered, besides `MEMORY_PER_ELEMENT` for each mark."""
        ...

    @property
    def mark(self) -> bytes:
        """What the body has at least as often as events, but for one; empty where that is not counted."""
        ...

    @property
    def body(self) -> bytes:
        """The body, where marks are counted."""
        ...

    @property
    def documents(self) -> bool:
        """True if the elements are `Item`s of JSON metrics, for which there are shortcuts."""
        ...

    @property
    def whole(self) -> bool:
        """True if all elements are to be accepted or none."""
        ...

    def elements(self) -> Iterable[Any | None]:
        """The elements in their order, can be iterated once; None between them where finding the next takes long.

        Raises:
            BodyTooLargeError: the kind of body has a lower limit.
            TooManyItemsError: over 100,000 elements; before the first is given out.
            UnsupportedError: a kind of body that is not read.
        """
        ...

    @property
    def decode(self) -> Decode:
        """Decodes one element."""
        ...

    def answer(self, outcome: Outcome, *, durable: bool | None) -> Answer | Awaitable[Answer]:
        """Make the answer; to be awaited where it is another's.

        Args:
            outcome: what became of the elements.
            durable: whether what was accepted is on disk; None where that is not asked for.
        """
        ...


class Dialect(Protocol):
    """How a kind of sender writes bodies over HTTP, and how it is answered."""

    def claims(self, head: Request) -> bool:
        """True if a request whose path says nothing may be of this dialect; its body is not read yet."""
        ...

    def read(self, request: Request, now: float) -> Reading | None:
        """Begin to read a request that arrived at `now` (wall seconds); None where it is not of this dialect.

        Raises:
            EmptyBodyError: there is nothing to read.
        """
        ...

    def refused(self, request: Request, refusal: Refusal) -> Answer:
        """Write why nothing of a request was accepted; its body may be missing."""
        ...
