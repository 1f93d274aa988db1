"""JSON bodies read part by part: large ones, and those of which a part is broken. Pure.

Elements are found first (`scan`) and parsed one by one, or some at a time. Each broken element is an item with an
error; its neighbours are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final, NamedTuple

import orjson

from sidecar.decode import large, scan
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

CHUNK_BYTES: Final = 8_192  # of a larger body, parsed in one call
# The most of one metric: 100,000 values with as many counts, and dimensions whose values contain commas. One with more
# is not parsed, since its numbers would take ten times the memory of the body.
_METRIC_COMMAS: Final = 3 * VALUES_PER_ITEM
_LONG_KEY_BYTES: Final = 1_024  # a longer one is followed by a pause
_CHUNK_TRIES: Final = 8  # ends of a chunk that are tried before elements are searched for one by one
# A line that starts like this continues a document of several lines; in NDJSON each line starts with `{`.
_CONTINUED: Final = re.compile(rb'\n(?:[ \t]++[^ \t\r\n]|["}\]])')


def lines(body: bytes, *, texts: bool, requests: bool) -> Items:
    """Read one document a line (NDJSON); a line that cannot be parsed is an item with an error.

    Raises:
        TooManyItemsError: over 100,000 lines; before the first item is yielded.
    """
    check_number((yield from large.count(body, b"\n")))
    may_be_long = len(body) > large.WHOLE_BYTES
    for untrimmed in split_lines(body):
        line = untrimmed.strip(BLANKS)
        if not line:
            continue
        if may_be_long and len(line) > large.WHOLE_BYTES:
            containers: list[large.Container] = []
            item = yield from read_large(line, containers, texts=texts)
            if item.error is None:
                yield item
                yield from large.release(containers)
                continue
        else:
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                item = Item(None, error=unreadable(line, error))
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
            yield item


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
                yield from _one(document, texts=texts)
            if end < 0:
                return
        else:
            yield from (broken("text behind the end of a document"),) if position else _one(body, texts=texts)
            return
        position = scan.behind_blanks(body, end)


def _stands_on_a_line(body: bytes, begin: int, end: int) -> bool:
    """True if a document that is broken, or does not end (-1), is one line among others."""
    newline = body.find(b"\n", begin)
    if newline < 0:
        return False
    if end >= 0:
        return end <= newline
    return _CONTINUED.search(body, newline) is None


def _ends_there(body: bytes, end: int) -> bool:
    """True if an object is followed by nothing, or by another document on a line of its own.

    Otherwise a surplus bracket may have closed it early, and what was read as the whole might be a part.
    """
    begin = scan.behind_blanks(body, end)
    return begin == len(body) or (body[begin : begin + 1] in (b"{", b"[") and b"\n" in body[end:begin])


class _Survey(NamedTuple):
    """Where the fields of a PutMetricData request are in an object.

    Attributes:
        end: behind its closing bracket; -1 if it has none.
        fields: where the values of a request's fields are.
        others: the names of other fields, ten at most.
        whole: True if every part is a key with a value; after another, no fields are looked for.
    """

    end: int
    fields: dict[str, scan.Span]
    others: tuple[str, ...]
    whole: bool

    @property
    def is_request(self) -> bool:
        return self.whole and any(key in self.fields for key in REQUEST_KEYS)


def _survey(text: bytes, position: int) -> Generator[None, None, _Survey]:
    """Find the fields of an object that begins just before `position`."""
    fields: dict[str, scan.Span] = {}
    others: list[str] = []
    whole = True
    found = scan.parts(text, position, scan.OBJECT_END)
    count = 0
    while True:
        count += 1
        try:
            span = next(found)
        except StopIteration as ended:
            return _Survey(int(ended.value), fields, tuple(others), whole)
        if span is None or not count % scan.PAUSE_MEMBERS:
            yield None
        if span is None or not whole:
            continue
        member = scan.member(text, *span)
        if member.value - member.begin > _LONG_KEY_BYTES:
            yield None
        if member.name is None:
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
    if len(text) <= large.WHOLE_BYTES or text[:1] != b"{":
        item = _read(text, texts=False)
        if item.error is None:
            yield from entity_items(item.value, namespace, ignored)
            return
    if text[:1] == b"{":
        survey = yield from _survey(text, 1)
        if survey.whole and "MetricData" in survey.fields:
            survey.fields.pop("EntityMetricData", None)  # nested entities would make this recursive
            yield from _request(text, survey, namespace, ignored)
            return
    yield from _one(text, texts=False)


def _array(text: bytes, position: int, *, texts: bool) -> Generator[Item | None, None, int]:
    """The elements of an array that begins just before `position`.

    Returns:
        Where it ends; -1 where it does not, which is an item with an error.

    Raises:
        TooManyItemsError: before the first item is yielded.
    """
    groups = _groups(text, position, texts=texts)
    if (yield from large.count(text, b",", position)) < ITEMS_PER_BODY:
        return (yield from _flattened(groups))
    # There may be too many: all are parsed before the first is yielded.
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
        yield from read.pop()  # group by group: freeing all at once would block the event loop
    return end


def _flattened(groups: Generator[list[Item] | None, None, int]) -> Generator[Item | None, None, int]:
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
            item = yield from read_large(text[slice(*span)].strip(BLANKS), [], texts=texts)
            yield [item]
    if end < 0 and (item is None or item.error is None):
        yield [broken("the array has no end")]
    return end


def _chunk(text: bytes, position: int) -> tuple[list[Any], int] | None:
    """Parse some elements of an array, up to one that ends about `CHUNK_BYTES` on.

    Where the text before a comma is valid JSON with brackets around it, that comma separates elements: a parser of the
    whole array is in the same state there.

    Returns:
        The elements, and where they end; None where no such comma was found.
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


def _one(text: bytes, *, texts: bool) -> Items:
    """Read one document, with pauses where it is large."""
    containers: list[large.Container] = []
    yield (yield from read_large(text, containers, texts=texts))
    yield from large.release(containers)


def read_large(text: bytes, containers: list[large.Container], *, texts: bool) -> Generator[None, None, Item]:
    """Read one document or element, with pauses where it is large; `containers` as in `large.parse`."""
    if len(text) <= large.WHOLE_BYTES:
        return _read(text, texts=texts)
    if not texts and (yield from large.count(text, b",")) > _METRIC_COMMAS:
        detail = f"over {VALUES_PER_ITEM} values in one metric"
        return Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, detail))
    value = yield from large.parse(text, containers)
    if isinstance(value, DecodeError):
        return Item(None, error=value)
    return Item(value, (yield from large.text(text)) if texts else None)


def _read(text: bytes, *, texts: bool) -> Item:
    """Parse one document or element: a log event where `texts` is set, else a metric."""
    if not text:
        return broken("an element is missing")
    try:
        return Item(orjson.loads(text), text.decode() if texts else None)
    except orjson.JSONDecodeError as error:
        return Item(None, error=unreadable(text, error))
