"""Items: the elements of a JSON body, each parsed or with the reason why not. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from sidecar.decode import scan
from sidecar.model.errors import DecodeError, Reason, TooManyItemsError
from sidecar.model.limits import ITEMS_PER_BODY

BLANKS: Final = b" \t\r\n"
LINES_BYTES: Final = 16_384  # of lines that are split at once
BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*+,[ \t\r\n]*+\{")


class Item(NamedTuple):
    """One element of a body.

    Attributes:
        value: the parsed document; meaningless where `error` is set.
        text: the document's own text, where `texts` was set.
        error: why this element could not be parsed.
        ignored: the names of unknown fields of the request that a datum came in.
    """

    value: Any
    text: str | None = None
    error: DecodeError | None = None
    ignored: tuple[str, ...] = ()


Items: TypeAlias = Iterator[Item | None]
"""Items in the order of the body; None between them, where finding the next takes long: yield to the event loop."""


def elements(values: list[Any], text: bytes, *, texts: bool) -> Items:
    """Items of the elements of an array; `text` is all of it, brackets included."""
    if not texts:
        yield from map(Item, values)
        return
    cuts = [found.span() for found in BETWEEN_OBJECTS.finditer(text)]
    if len(cuts) == len(values) - 1 and set(map(type, values)) == {dict}:
        # Between two objects there is at least one match; if there are no more matches, each is between two objects.
        begins = [text.index(b"{"), *(end - 1 for _, end in cuts)]
        ends = [*(begin + 1 for begin, _ in cuts), text.rindex(b"}") + 1]
        for value, begin, end in zip(values, begins, ends, strict=True):
            yield Item(value, text[begin:end].decode())
        return
    spans = scan.parts(text, text.index(b"[") + 1, scan.ARRAY_END)
    rest = iter(values)
    for span in spans:
        yield None if span is None else Item(next(rest), text[slice(*span)].strip(BLANKS).decode())


def split_lines(text: bytes) -> Iterator[bytes]:
    """Split text at its newlines, some lines at a time: half the time of finding them one by one.

    Lines may be empty; the text is not copied as a whole.
    """
    position, size = 0, len(text)
    while position < size:
        end = text.rfind(b"\n", position, position + LINES_BYTES)
        if end < 0:  # one longer line, or the last
            end = text.find(b"\n", position)
        if end < 0:
            end = size
        yield from text[position:end].split(b"\n")
        position = end + 1


def unreadable(text: bytes, error: orjson.JSONDecodeError) -> DecodeError:
    """The error for a text that is not JSON: not UTF-8, or the parser's message."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "the JSON is not UTF-8")
    return DecodeError(Reason.INVALID_JSON, f"not JSON: {error.msg} at character {error.pos}")


def broken(detail: str) -> Item:
    """The item of an element that is not JSON."""
    return Item(None, error=DecodeError(Reason.INVALID_JSON, f"not JSON: {detail}"))


def check_number(items: int) -> None:
    """Raise TooManyItemsError if a body has over 100,000 items."""
    if items > ITEMS_PER_BODY:
        raise TooManyItemsError(f"{items} items, at most {ITEMS_PER_BODY} in one body")
