"""Bodies to items: one JSON document, an array, one document a line, or lines of text. Pure.

A body is parsed whole where it is small and valid. Where it is large, or a part of it is broken, its elements are
found first (`scan`) and read one by one: what is broken is one error each, and what stands beside it is read.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from sidecar.decode import scan
from sidecar.decode.fields import wrong_type
from sidecar.model.errors import DecodeError, Reason, TooManyItemsError
from sidecar.model.limits import ITEMS_PER_BODY, VALUES_PER_ITEM

WHOLE_BYTES: Final = 131_072  # a body up to this size is parsed in one call: some 2 ms
CHUNK_BYTES: Final = 8_192  # of a larger one, in one call
# What one metric may have at most: 100,000 values with as many counts, and dimensions whose values hold commas. With
# more it is not parsed, which would hold the event loop.
_METRIC_COMMAS: Final = 3 * VALUES_PER_ITEM
_CHUNK_TRIES: Final = 8  # places where a chunk may end that are tried before elements are looked for
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"
_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+[{\[]")
_LINE: Final = re.compile(rb"[^\n]+")
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
_BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*+,[ \t\r\n]*+\{")
# A line that starts so continues a document that is spread over lines; one document a line starts each with `{`.
_CONTINUED: Final = re.compile(rb'\n(?:[ \t]++[^ \t\r\n]|["}\]])')
_REQUEST_KEYS: Final = ("MetricData", "EntityMetricData")
_REQUEST_FIELDS: Final = frozenset((*_REQUEST_KEYS, "Namespace", "StrictEntityValidation"))


class Item(NamedTuple):
    """One element of a body.

    Attributes:
        value: the parsed document; meaningless where `error` is set.
        text: the document's own text, where it was asked for.
        error: why this element could not be parsed.
        ignored: the names of fields around it that are not read: of the request a datum came in.
    """

    value: Any
    text: str | None = None
    error: DecodeError | None = None
    ignored: tuple[str, ...] = ()


Items: TypeAlias = Iterator[Item | None]
"""Items in the order of the body; None between them, where finding the next takes long: a moment to let others run."""


def looks_like_json(body: bytes) -> bool:
    """Tell whether the body's first character opens a JSON object or array; a byte order mark before it is passed."""
    return body[:1] in (b"{", b"[") or _OPENING.match(body) is not None


def documents(body: bytes, *, texts: bool = True, requests: bool = False) -> Items:
    """Split a JSON body into its items: one object, an array, or one document a line (NDJSON).

    An element or line that cannot be parsed is an item with an error; its neighbours are unharmed. Items are parsed
    as they are asked for, so that a reader may pause between them.

    Args:
        body: what was sent.
        texts: give each item its own text, as log events need it.
        requests: where a PutMetricData request is large, or a part of it is broken, give its datums as items;
            `metric_items` unfolds the others.

    Raises:
        TooManyItemsError: over 100,000 items; before the first is given out.
    """
    body = body.removeprefix(BYTE_ORDER_MARK).strip(_BLANKS)
    newline = body.find(b"\n", 0, WHOLE_BYTES)
    if newline >= 0 and _is_document(body[:newline]):
        yield from _lines(body, texts=texts, requests=requests)
        return
    if len(body) <= WHOLE_BYTES or (texts and body[:1] == b"{"):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # read part by part below; the error holds a copy of the body
        else:
            if isinstance(value, list):
                _check_number(len(value))
                yield from _parsed(value, body, texts=texts)
            else:
                yield Item(value, body.decode() if texts else None)
            return
    yield from _refused_late(_by_parts(body, texts=texts, requests=requests))


def _refused_late(items: Items) -> Items:
    """Let the first of these raise that there are too many; once an item was given out, that is an error beside it."""
    given = False
    try:
        for item in items:
            given = given or item is not None
            yield item
    except TooManyItemsError as error:
        if not given:
            raise
        yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))


def text_lines(body: bytes) -> Iterator[Item]:
    """Split a plain text body into one item a line, blank lines left out.

    Raises:
        TooManyItemsError: over 100,000 lines.
    """
    _check_number(body.count(b"\n"))
    for found in _LINE.finditer(body.removeprefix(BYTE_ORDER_MARK)):
        line = found[0]
        if line.isspace():
            continue
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield Item(None, error=DecodeError(Reason.INVALID_UTF8, "the line is not UTF-8"))
        else:
            yield Item(text, text)


def metric_items(items: Iterable[Item | None]) -> Items:
    """Unfold whole PutMetricData requests, so that each datum is an item of its own.

    The datums of `EntityMetricData` are taken as those of `MetricData`; which entity they belong to is not read.

    Raises:
        TooManyItemsError: a request of over 100,000 datums; before the first item is given out.
    """
    given = False
    for item in items:
        if item is None:
            yield None
            continue
        value = item.value
        if value.__class__ is dict and ("MetricData" in value or "EntityMetricData" in value):
            try:
                _check_number(_datums(value))
            except TooManyItemsError as error:
                if not given:
                    raise
                yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))
            else:
                yield from _unfolded(value, value.get("Namespace"), ())
        else:
            yield item
        given = True


# --- what could be parsed -----------------------------------------------------------------------------


def _parsed(values: list[Any], text: bytes, *, texts: bool) -> Items:
    """Items of the elements of an array; `text` is all of it, brackets included."""
    if not texts:
        yield from map(Item, values)
        return
    cuts = [found.span() for found in _BETWEEN_OBJECTS.finditer(text)]
    if len(cuts) == len(values) - 1 and set(map(type, values)) == {dict}:
        # Between two objects there is at least one such place; as many as that, and each of them is between two.
        begins = [text.index(b"{"), *(end - 1 for _, end in cuts)]
        ends = [*(begin + 1 for begin, _ in cuts), text.rindex(b"}") + 1]
        for value, begin, end in zip(values, begins, ends, strict=True):
            yield Item(value, text[begin:end].decode())
        return
    spans = scan.parts(text, text.index(b"[") + 1, scan.ARRAY_END)
    rest = iter(values)
    for span in spans:
        yield None if span is None else Item(next(rest), text[slice(*span)].strip(_BLANKS).decode())


def _datums(request: dict[str, Any]) -> int:
    """How many datums a request holds."""
    entities = request.get("EntityMetricData")
    held = [request.get("MetricData"), *(_metric_data(entity) for entity in _listed(entities))]
    return sum(len(_listed(datums)) for datums in held)


def _metric_data(entity: object) -> object:
    return entity.get("MetricData") if isinstance(entity, dict) else None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _unfolded(request: dict[str, Any], namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of a request, or of an element of EntityMetricData."""
    ignored += tuple(key for key in request if key not in _REQUEST_FIELDS)[:10]
    for key in _REQUEST_KEYS:
        if key not in request:
            continue
        values = request[key]
        if not isinstance(values, list):
            yield Item(None, error=wrong_type(key, "an array", values))
        elif key == "MetricData":
            for datum in values:
                yield _datum(Item(datum), namespace, ignored)
        else:
            for entity in values:
                yield from _entity(entity, namespace, ignored)


def _entity(entity: object, namespace: object, ignored: tuple[str, ...]) -> Items:
    if isinstance(entity, dict) and "MetricData" in entity:
        # Without its own EntityMetricData, which would make this recursive.
        yield from _unfolded({**entity, "EntityMetricData": []}, namespace, ignored)
    else:
        error = wrong_type("an element of EntityMetricData", "an object with Entity and MetricData", entity)
        yield Item(None, error=error)


def _datum(item: Item, namespace: object, ignored: tuple[str, ...]) -> Item:
    if namespace and isinstance(item.value, dict):
        return Item({"Namespace": namespace, **item.value}, None, None, ignored)
    return item._replace(ignored=ignored) if ignored else item


# --- lines --------------------------------------------------------------------------------------------


def _is_document(line: bytes) -> bool:
    """Whether a line is a whole object or array."""
    if line.rstrip(_BLANKS)[-1:] not in (b"}", b"]"):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(body: bytes, *, texts: bool, requests: bool) -> Items:
    _check_number(body.count(b"\n"))
    for found in _LINE.finditer(body):
        line = found[0].strip(_BLANKS)
        if not line:
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            unreadable = Item(None, error=_unreadable(line, error))
        else:
            yield Item(value, line.decode() if texts else None)
            continue
        if requests and b'MetricData"' in line:
            try:
                yield from _by_parts(line, texts=texts, requests=True)
            except TooManyItemsError as error:
                yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))
        else:
            yield unreadable


# --- part by part -------------------------------------------------------------------------------------


def _by_parts(body: bytes, *, texts: bool, requests: bool) -> Items:
    """Split a body that is large, or that is not valid as a whole."""
    if not body:
        yield _broken("the body is empty")
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
                yield from _lines(body[position:], texts=texts, requests=requests)
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
            yield _read(body, texts=texts) if not position else _broken("text behind the end of a document")
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
        return self.whole and any(key in self.fields for key in _REQUEST_KEYS)


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
        elif member.name in _REQUEST_FIELDS:
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
    for key in _REQUEST_KEYS:
        if key not in survey.fields:
            continue
        begin, end = survey.fields[key]
        if text[begin : begin + 1] != b"[":
            value = _read(text[begin:end], texts=False)
            yield Item(None, error=value.error or wrong_type(key, "an array", value.value))
        elif key == "MetricData":
            for item in _array(text, begin + 1, texts=False):
                yield None if item is None else _datum(item, namespace, ignored)
        else:
            for span in scan.parts(text, begin + 1, scan.ARRAY_END):
                if span is None:
                    yield None
                else:
                    yield from _entity_by_parts(text[slice(*span)].strip(_BLANKS), namespace, ignored)


def _entity_by_parts(text: bytes, namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of an element of EntityMetricData."""
    if len(text) <= WHOLE_BYTES or text[:1] != b"{":
        item = _read(text, texts=False)
        if item.error is None:
            yield from _entity(item.value, namespace, ignored)
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
            _check_number(number)
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
        yield [item for item in _parsed(values, whole, texts=texts) if item is not None]
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
            item = _read(text[slice(*span)].strip(_BLANKS), texts=texts)
            yield [item]
    if end < 0 and (item is None or item.error is None):
        yield [_broken("the array has no end")]
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
        found = _BETWEEN_OBJECTS.search(text, begin, begin + CHUNK_BYTES)
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
        return _broken("an element is missing")
    if not texts and len(text) > WHOLE_BYTES and text.count(b",") > _METRIC_COMMAS:
        detail = f"over {VALUES_PER_ITEM} values in one metric"
        return Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, detail))
    try:
        return Item(orjson.loads(text), text.decode() if texts else None)
    except orjson.JSONDecodeError as error:
        return Item(None, error=_unreadable(text, error))


def _unreadable(text: bytes, error: orjson.JSONDecodeError) -> DecodeError:
    try:
        text.decode()
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "the JSON is not UTF-8")
    return DecodeError(Reason.INVALID_JSON, f"not JSON: {error.msg} at character {error.pos}")


def _broken(detail: str) -> Item:
    return Item(None, error=DecodeError(Reason.INVALID_JSON, f"not JSON: {detail}"))


def _check_number(items: int) -> None:
    if items > ITEMS_PER_BODY:
        raise TooManyItemsError(f"{items} items, at most {ITEMS_PER_BODY} in one body")
