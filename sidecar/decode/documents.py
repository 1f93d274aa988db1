"""Bodies to items: one JSON document, an array, one document a line, or lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from sidecar.decode.fields import wrong_type
from sidecar.errors import DecodeError, Reason, TooManyItemsError
from sidecar.limits import ITEMS_PER_BODY

_WHITESPACE: Final = b" \t\r\n"


class Item(NamedTuple):
    """One element of a body.

    Attributes:
        value: the parsed document; meaningless where `error` is set.
        text: the document's own text where it stood alone or on a line of its own, else None.
        error: why this element could not be parsed.
    """

    value: Any
    text: str | None = None
    error: DecodeError | None = None


def looks_like_json(body: bytes) -> bool:
    """Tell whether the body's first character opens a JSON object or array."""
    return body.lstrip(_WHITESPACE)[:1] in (b"{", b"[")


def documents(body: bytes) -> Iterator[Item]:
    """Split a JSON body into its items: one object, an array, or one document a line (NDJSON).

    A line that cannot be parsed is an item with an error; its neighbours are unharmed. Lines are parsed as they
    are asked for, so that a reader may pause between them.

    Raises:
        TooManyItemsError: over 100,000 items; before the first is given out.
    """
    body = body.strip(_WHITESPACE)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        yield from _document_lines(body, error)
        return
    if isinstance(value, list):
        _check_number(len(value))
        for element in value:
            yield Item(element)
    else:
        yield Item(value, body.decode())


def _document_lines(body: bytes, error: orjson.JSONDecodeError) -> Iterator[Item]:
    _check_number(body.count(b"\n"))
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    if len(lines) > 1:
        unreadable: list[Item] = []
        rest = iter(lines)
        for line in rest:
            item = _document_line(line)
            if item.error is None:
                yield from unreadable
                yield item
                yield from map(_document_line, rest)
                return
            unreadable.append(item)
    # Where no line is a document of its own, this is one broken document spread over lines: one error.
    yield Item(None, error=_unreadable(body, error))


def text_lines(body: bytes) -> Iterator[Item]:
    """Split a plain text body into one item a line, blank lines left out.

    Raises:
        TooManyItemsError: over 100,000 lines.
    """
    _check_number(body.count(b"\n"))
    for line in body.split(b"\n"):
        if not line or line.isspace():
            continue
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield Item(None, error=DecodeError(Reason.INVALID_UTF8, "the line is not UTF-8"))
        else:
            yield Item(text, text)


def metric_items(items: Iterable[Item]) -> Iterator[Item]:
    """Unfold whole PutMetricData requests, so that each datum is an item of its own.

    Raises:
        TooManyItemsError: over 100,000 datums in the first request; before the first is given out. A later request
            with so many is an item with an error: those before it have been taken.
    """
    for position, item in enumerate(items):
        value = item.value
        if isinstance(value, dict) and "MetricData" in value:
            datums = value["MetricData"]
            if not isinstance(datums, list):
                yield Item(None, error=wrong_type("MetricData", "an array", datums))
                continue
            if position > 0 and len(datums) > ITEMS_PER_BODY:
                detail = f"MetricData has {len(datums)} elements, at most {ITEMS_PER_BODY}"
                yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, detail))
                continue
            _check_number(len(datums))
            namespace = value.get("Namespace")
            for datum in datums:
                yield Item({"Namespace": namespace, **datum} if namespace and isinstance(datum, dict) else datum)
        else:
            yield item


def _document_line(line: bytes) -> Item:
    try:
        return Item(orjson.loads(line), line.strip(_WHITESPACE).decode())
    except orjson.JSONDecodeError as error:
        return Item(None, error=_unreadable(line, error))


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> DecodeError:
    try:
        body.decode()
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "the JSON is not UTF-8")
    return DecodeError(Reason.INVALID_JSON, f"not JSON: {error.msg} at character {error.pos}")


def _check_number(items: int) -> None:
    if items > ITEMS_PER_BODY:
        raise TooManyItemsError(f"{items} items, at most {ITEMS_PER_BODY} in one body")
