"""JSON log events: a parsed document or a line of text in, a log event out. Pure."""

from __future__ import annotations

import orjson

from sidecar.decode import large, scan
from sidecar.decode.fields import read_timestamp, wrong_type
from sidecar.decode.items import Item
from sidecar.decode.json_metrics import _ROUTING, _optional_text
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Events


def decode(item: Item, _: float = 0.0) -> LogEvent | DecodeError | Events:
    """Decode one element of a body: a JSON object, or a line of text.

    The message is the document as it came, without `log_group` and `log_stream`.

    Args:
        item: the parsed document, with its own text.

    Returns:
        The event, or why the element could not be parsed. Of a large document that has `log_group` or `log_stream`, the
        event behind None: a moment to let others run.

    Raises:
        DecodeError: not an object or text, or empty.
    """
    if item.error is not None:
        return item.error
    value = item.value
    if isinstance(value, str):
        if not value.strip():
            raise DecodeError(Reason.EMPTY_MESSAGE, "the log event is empty")
        return LogEvent(None, value, {})
    if not isinstance(value, dict):
        raise wrong_type("a log event", "an object or text", value)
    event = from_object(value, item.text)
    if event.group is not None or event.stream is not None:
        routing = [key for key in _ROUTING if key in value]
        if len(value) == len(routing):
            raise DecodeError(Reason.EMPTY_MESSAGE, "the log event has no fields beside its routing")
        # Cut out of the text, so that the rest stays as it came: encoded anew, a number over 64 bits would be rounded.
        if len(event.message) > large.WHOLE_BYTES:
            return _without_in_turns(routing, event)
        event.message = scan.without(event.message, routing)
    return event


def from_object(value: dict[str, object], text: str | None = None) -> LogEvent:
    """The log event of an object, `log_group` and `log_stream` included in its message.

    Args:
        value: the object.
        text: its own; None: it is encoded.

    Raises:
        DecodeError: it is empty, or its routing is not text.
    """
    if not value:
        raise DecodeError(Reason.EMPTY_MESSAGE, "the log event has no fields")
    timestamp_ms, unreadable = None, False
    if (given := value.get("timestamp")) is not None:
        try:
            timestamp_ms = int(read_timestamp(given) * 1_000)
        except DecodeError:
            unreadable = True
    group = stream = None
    if "log_group" in value or "log_stream" in value:
        group, stream = _optional_text(value, "log_group") or None, _optional_text(value, "log_stream") or None
    return LogEvent(
        timestamp_ms, orjson.dumps(value).decode() if text is None else text, value, group, stream, unreadable
    )


def _without_in_turns(routing: list[str], event: LogEvent) -> Events:
    event.message = yield from scan.without_in_turns(event.message, routing)
    yield event
