"""JSON bodies read part by part: large ones, and those of which a part is broken. Pure.

Elements are found first (`scan`) and parsed one by one, or some at a time: what is broken is one error each, and what
stands beside it is read.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final, NamedTuple

import orjson

from sidecar.decode import scan
from sidecar.decode.fields import wrong_type
from sidecar.decode.items import (
    BETWEEN_OBJECTS,
    BLANKS,
    Item,
    Items,
    broken,
    check_number,
    elements,
    split_lines,
    unreadable,
)
from sidecar.decode.requests import REQUEST_FIELDS, REQUEST_KEYS, datum_item, entity_items
from sidecar.model.errors import DecodeError, Reason, TooManyItemsError
from sidecar.model.limits import ITEMS_PER_BODY, VALUES_PER_ITEM

WHOLE_BYTES: Final = 131_072  # a body up to this size is parsed in one call: some 2 ms
CHUNK_BYTES: Final = 8_192  # of a larger one, in one call
# What one metric may have at most: 100,000 values with as many counts, and dimensions whose values hold commas. With
# more it is not parsed, which would hold the event loop.
_METRIC_COMMAS: Final = 3 * VALUES_PER_ITEM
_CHUNK_TRIES: Final = 8  # places where a chunk may end that are tried before elements are looked for
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
# A line that starts so continues a document that is spread over lines; one document a line starts each with `{`.
_CONTINUED: Final = re.compile(rb'\n(?:[ \t]++[^ \t\r\n]|["}\]])')


def lines(body: bytes, *, texts: bool, requests: bool) -> Items:
    """Read one document a line (NDJSON); a line that cannot be parsed is an item with an error.

    Raises:
        TooManyItemsError: over 100,000 lines; before the first item is given out.
    """
    check_number(body.count(b"\n"))
    for untrimmed in split_lines(body):
        line = untrimmed.strip(BLANKS)
        if not line:
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            refused = Item(None, error=unreadable(line, error))
        else:
            # Not `Item(...)`: a NamedTuple's own constructor takes twice as long.
            yield tuple.__new__(Item, (value, line.decode() if texts else None, None, ()))
            continue
        if requests and b'MetricData"' in line:
            try:
                yield from by_parts(line, texts=texts, requests=True)
            except TooManyItemsError as error:
                yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))
        else:
            yield refused


def by_parts(body: bytes, *, texts: bool, requests: bool) -> Items:
    """Split a body that is large, or that is not valid as a whole."""
    if not body:
        yield broken("the body is empty")
    position = 0
    while position < len(body):
        opening = body[position : position + 1]
        if opening == b"[":
            end = yield from _array(body, position + 1, texts=texts)
            if end < 0:
                return
        elif opening == b"{":
            survey = yield from _survey(body, position + 1)
            end = survey.end
            if _stands_on_a_line(body, position, end):
                yield from lines(body[position:], texts=texts, requests=requests)
                return
            if end >= 0 and not _ends_there(body, end):
                end = -1
            document = body[position:] if end < 0 else body[position:end]
            if requests and end >= 0 and survey.is_request:
                yield from _request(body, survey, None, ())
            else:
                yield _read(document, texts=texts)
            if end < 0:
                return
        else:
            yield _read(body, texts=texts) if not position else broken("text behind the end of a document")
            return
        after = _BLANK.match(body, end)
        position = len(body) if after is None else after.end()


def _stands_on_a_line(body: bytes, begin: int, end: int) -> bool:
    """Whether a document that is broken, or does not end (-1), stands on one line among others."""
    newline = body.find(b"\n", begin)
    if newline < 0:
        return False
    if end >= 0:
        return end <= newline
    return _CONTINUED.search(body, newline) is None


def _ends_there(body: bytes, end: int) -> bool:
    """Whether nothing follows an object, or another document on a line of its own.

    Else a bracket too many may have closed it early: what was read as the whole might be a part.
    """
    after = _BLANK.match(body, end)
    begin = end if after is None else after.end()
    return begin == len(body) or (body[begin : begin + 1] in (b"{", b"[") and b"\n" in body[end:begin])


class _Survey(NamedTuple):
    """What an object holds, as far as it matters to a request.

    Attributes:
        end: behind its bracket; -1: it does not end.
        fields: where the values of a request's fields are.
        others: the names of other fields, ten at most.
        whole: every part is a key with a value.
    """

    end: int
    fields: dict[str, scan.Span]
    others: tuple[str, ...]
    whole: bool

    @property
    def is_request(self) -> bool:
        return self.whole and any(key in self.fields for key in REQUEST_KEYS)


def _survey(text: bytes, position: int) -> Generator[None, None, _Survey]:
    """Look an object through that begins just before `position`."""
    fields: dict[str, scan.Span] = {}
    others: list[str] = []
    whole = True
    found = scan.members(text, position)
    while True:
        try:
            member = next(found)
        except StopIteration as ended:
            return _Survey(int(ended.value), fields, tuple(others), whole)
        if member is None:
            yield None
        elif member.name is None:
            whole = False
        elif member.name in REQUEST_FIELDS:
            fields[member.name] = (member.value, member.end)
        elif len(others) < 10:
            others.append(member.name)


def _request(text: bytes, survey: _Survey, namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of a request in `text`, found one by one."""
    ignored += survey.others
    if "Namespace" in survey.fields:
        given = _read(text[slice(*survey.fields["Namespace"])], texts=False)
        if given.error is not None:
            yield Item(None, error=given.error)
            return
        namespace = given.value
    for key in REQUEST_KEYS:
        if key not in survey.fields:
            continue
        begin, end = survey.fields[key]
        if text[begin : begin + 1] != b"[":
            value = _read(text[begin:end], texts=False)
            yield Item(None, error=value.error or wrong_type(key, "an array", value.value))
        elif key == "MetricData":
            for item in _array(text, begin + 1, texts=False):
                yield None if item is None else datum_item(item, namespace, ignored)
        else:
            for span in scan.parts(text, begin + 1, scan.ARRAY_END):
                if span is None:
                    yield None
                else:
                    yield from _entity_by_parts(text[slice(*span)].strip(BLANKS), namespace, ignored)


def _entity_by_parts(text: bytes, namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of an element of EntityMetricData."""
    if len(text) <= WHOLE_BYTES or text[:1] != b"{":
        item = _read(text, texts=False)
        if item.error is None:
            yield from entity_items(item.value, namespace, ignored)
            return
    if text[:1] == b"{":
        survey = yield from _survey(text, 1)
        if survey.whole and "MetricData" in survey.fields:
            survey.fields.pop("EntityMetricData", None)  # of its own, which would make this recursive
            yield from _request(text, survey, namespace, ignored)
            return
    yield _read(text, texts=False)


def _array(text: bytes, position: int, *, texts: bool) -> Generator[Item | None, None, int]:
    """The elements of an array that begins just before `position`.

    Returns:
        Where it ends; -1 where it does not, which is an error beside those of its elements.

    Raises:
        TooManyItemsError: before the first item is given out.
    """
    groups = _groups(text, position, texts=texts)
    if text.count(b",", position) < ITEMS_PER_BODY:
        return (yield from _given_out(groups))
    # So many may be too many: all are read before the first is given out.
    read: list[list[Item]] = []
    number = 0
    while True:
        try:
            group = next(groups)
        except StopIteration as ended:
            end = int(ended.value)
            break
        yield None
        if group is not None:
            read.append(group)
            number += len(group)
            check_number(number)
    read.reverse()
    while read:
        yield from read.pop()  # one by one: letting go of all at once would hold the loop
    return end


def _given_out(groups: Generator[list[Item] | None, None, int]) -> Generator[Item | None, None, int]:
    while True:
        try:
            group = next(groups)
        except StopIteration as ended:
            return int(ended.value)
        if group is None:
            yield None
        else:
            yield from group


def _groups(text: bytes, position: int, *, texts: bool) -> Generator[list[Item] | None, None, int]:
    """The elements of an array in groups, each of which is parsed in one call."""
    while (chunk := _chunk(text, position)) is not None:
        values, end = chunk
        whole = b"[%b]" % text[position:end]
        yield [item for item in elements(values, whole, texts=texts) if item is not None]
        position = text.index(b"{", end)
    spans = scan.parts(text, position, scan.ARRAY_END)
    item = None
    while True:
        try:
            span = next(spans)
        except StopIteration as ended:
            end = int(ended.value)
            break
        if span is None:
            yield None
        else:
            item = _read(text[slice(*span)].strip(BLANKS), texts=texts)
            yield [item]
    if end < 0 and (item is None or item.error is None):
        yield [broken("the array has no end")]
    return end


def _chunk(text: bytes, position: int) -> tuple[list[Any], int] | None:
    """Parse some elements of an array, up to one that ends about `CHUNK_BYTES` on.

    Where what lies before a comma is valid with brackets around it, that comma is one between elements: a parser that
    reads the whole array is in the same state there.

    Returns:
        The elements, and where they end; None where no such place was found.
    """
    begin = position + CHUNK_BYTES
    for _ in range(_CHUNK_TRIES):
        found = BETWEEN_OBJECTS.search(text, begin, begin + CHUNK_BYTES)
        if found is None:
            return None
        end = found.start() + 1
        try:
            values: list[Any] = orjson.loads(b"[%b]" % text[position:end])
        except orjson.JSONDecodeError:
            begin = found.end() - 1
        else:
            return values, end
    return None


def _read(text: bytes, *, texts: bool) -> Item:
    """Parse one document or element: a log event where its text is asked for, else a metric."""
    if not text:
        return broken("an element is missing")
    if not texts and len(text) > WHOLE_BYTES and text.count(b",") > _METRIC_COMMAS:
        detail = f"over {VALUES_PER_ITEM} values in one metric"
        return Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, detail))
    try:
        return Item(orjson.loads(text), text.decode() if texts else None)
    except orjson.JSONDecodeError as error:
        return Item(None, error=unreadable(text, error))
