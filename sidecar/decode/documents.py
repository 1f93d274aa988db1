"""Bodies to items: one JSON document, an array, one document a line, or lines of text. Pure.

A body is parsed whole where it is small and valid; else part by part (`tolerant`).
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from sidecar.decode import large
from sidecar.decode.items import BLANKS, Item, Items, check_number, elements, split_lines
from sidecar.decode.large import Container
from sidecar.decode.tolerant import by_parts, lines, read_large
from sidecar.model.errors import DecodeError, Reason, TooManyItemsError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+[{\[]")


def looks_like_json(body: bytes) -> bool:
    """True if the body's first character opens a JSON object or array; a byte order mark before it is ignored."""
    return body[:1] in (b"{", b"[") or _OPENING.match(body) is not None


def documents(body: bytes, *, texts: bool = True, requests: bool = False) -> Items:
    """Split a JSON body into its items: one object, an array, or one document a line (NDJSON).

    An element or line that cannot be parsed is an item with an error; its neighbours are unharmed. Items are parsed
    one by one as the caller iterates, so that it may yield to the event loop between them. The value of a large one is
    emptied when the next is asked for.

    Args:
        body: the inflated body.
        texts: give each item its own text, for log events.
        requests: where a PutMetricData request is large, or a part of it is broken, yield its datums as items;
            `requests.metric_items` unfolds the other requests.

    Raises:
        TooManyItemsError: over 100,000 items; by this call, or before the first is yielded.
    """
    body = body.removeprefix(BYTE_ORDER_MARK).strip(BLANKS)
    newline = body.find(b"\n", 0, large.WHOLE_BYTES)
    if newline >= 0 and _is_document(body[:newline]):
        return lines(body, texts=texts, requests=requests)
    if len(body) <= large.WHOLE_BYTES:
        value = large.loads(body)
        if not isinstance(value, DecodeError):
            return _whole(value, body, texts=texts)
    elif texts and body[:1] == b"{":
        return _large(body, requests=requests)
    return _refused_late(by_parts(body, texts=texts, requests=requests))


def _whole(value: Any, body: bytes, *, texts: bool) -> Items:
    """The items of a body that was parsed in one piece."""
    if isinstance(value, list):
        check_number(len(value))
        return elements(value, body, texts=texts)
    return iter((Item(value, body.decode() if texts else None),))


def _large(body: bytes, *, requests: bool) -> Items:
    """The item of a body that is one large object with its text; its items where it is not JSON as a whole."""
    containers: list[Container] = []
    item = yield from read_large(body, containers, texts=True)
    if item.error is not None:
        yield from _refused_late(by_parts(body, texts=True, requests=requests))
    else:
        yield item
        yield from large.release(containers)


def _refused_late(items: Items) -> Items:
    """Raise TooManyItemsError before the first item only; after it, the error is an item."""
    yielded = False
    try:
        for item in items:
            yielded = yielded or item is not None
            yield item
    except TooManyItemsError as error:
        if not yielded:
            raise
        yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))


def text_lines(body: bytes) -> Items:
    """Split a plain text body into one item a line, blank lines left out.

    Raises:
        TooManyItemsError: over 100,000 lines; before the first item is yielded.
    """
    check_number((yield from large.count(body, b"\n")))
    for line in split_lines(body.removeprefix(BYTE_ORDER_MARK)):
        if not line or line.isspace():
            continue
        try:
            text = yield from large.text(line.removesuffix(b"\r"))
        except UnicodeDecodeError:
            yield Item(None, error=DecodeError(Reason.INVALID_UTF8, "the line is not UTF-8"))
        else:
            yield Item(text, text)


def _is_document(line: bytes) -> bool:
    """True if a line is a whole object or array."""
    if line.rstrip(BLANKS)[-1:] not in (b"}", b"]"):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
