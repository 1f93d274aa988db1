"""JSON log events: a parsed document or a line of text in, a log event out. Pure."""

from __future__ import annotations

import orjson

from sidecar.decode import scan
from sidecar.decode.fields import check_timestamp, read_timestamp, wrong_type
from sidecar.decode.items import Item
from sidecar.decode.json_metrics import _ROUTING, _optional_text
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent


def decode(item: Item, now: float) -> LogEvent | DecodeError:
    """Decode one element of a body that arrived at `now` (seconds since the epoch)."""
    if item.error is not None:
        return item.error
    try:
        return decode_log(item, now)
    except DecodeError as error:
        return error


def decode_log(item: Item, now: float) -> LogEvent:
    """Read one log event: a JSON object, or a line of text.

    The message is the document as it came; `log_group` and `log_stream` are taken out of it.

    Args:
        item: the parsed document, with its own text; one that was not JSON (a DogStatsD event) has none.
        now: the time of arrival, seconds since the epoch.

    Raises:
        DecodeError: not an object or text, empty, or of a time the service refuses.
    """
    value = item.value
    if isinstance(value, str):
        if not value.strip():
            raise DecodeError(Reason.EMPTY_MESSAGE, "the log event is empty")
        return LogEvent(int(now * 1_000), value, {})
    if not isinstance(value, dict):
        raise wrong_type("a log event", "an object or text", value)
    if not value:
        raise DecodeError(Reason.EMPTY_MESSAGE, "the log event has no fields")
    timestamp, late_stamped = now, False
    if (given := value.get("timestamp")) is not None:
        try:
            timestamp = read_timestamp(given)
        except DecodeError:
            late_stamped = True
        else:
            check_timestamp(timestamp, now)
    group = stream = None
    if "log_group" in value or "log_stream" in value:
        group, stream = _optional_text(value, "log_group") or None, _optional_text(value, "log_stream") or None
    text = orjson.dumps(value).decode() if item.text is None else item.text
    if group is not None or stream is not None:
        routing = [key for key in _ROUTING if key in value]
        if len(value) == len(routing):
            raise DecodeError(Reason.EMPTY_MESSAGE, "the log event has no fields beside its routing")
        # Out of its text, so that the rest stays as it came: written anew, a number beyond 64 bits would be rounded.
        text = scan.without(text, routing)
    return LogEvent(int(timestamp * 1_000), text, value, group, stream, late_stamped)
