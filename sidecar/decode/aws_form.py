"""PutMetricData in the AWS query protocol: a form in, the parameters as the JSON protocol has them out. Pure.

Keys are paths: `MetricData.member.3.Dimensions.member.1.Name`. SDKs that sort them as text put member 10 before
member 2, so the numbers decide, and they must run from 1 without a gap. A field of one datum that cannot be read is
an error of that datum; keys that name no field are an error of the request, since what they were meant to say is lost.
Where all pairs of a datum stand together, as SDKs write them, they are taken out of the form at once, and where its
name and dimensions came before (`aws_known`), only its value and time are read.
Source: AWS, "AWS query protocol" (Smithy); requests of boto3 1.34, SDK for JavaScript v2 and v3, Go v2.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import lru_cache
from typing import Any, Final

from sidecar.decode.aws_form_datums import (
    KEY_BYTES,
    Datums,
    Fields,
    FormError,
    Tree,
    finished,
    index_of,
    missing,
    nonsense,
    reopened,
    text_of,
)
from sidecar.decode.aws_known import Form, Table
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY

PAUSE_PAIRS: Final = 256  # between two pauses: some 0.3 ms
KNOWN_BYTES: Final = 1_024  # longer datums are read pair by pair
DATUMS_AT_ONCE: Final = 16  # between two pauses: some 60 us where they are known, 0.3 ms where they are not
_PAIR: Final = re.compile(rb"&*+([^&]+)")
_DATUM: Final = re.compile(rb"(?:EntityMetricData\.member\.([0-9]{1,6})\.)?MetricData\.member\.([0-9]{1,6})\.")
_TOP: Final = (b"Namespace", b"Action", b"Version")
_METRIC_DATA: Final = (b"MetricData", b"EntityMetricData")


def action(body: bytes) -> tuple[str, str]:
    """Find the operation and the version of the service's interface, which may stand at the end of the form.

    Returns:
        `Action` and `Version`; empty where they are missing.
    """
    return _find(body, b"Action="), _find(body, b"Version=")


def decode(body: bytes, known: Table[Form] | None = None) -> Generator[None, None, dict[str, Any] | DecodeError]:
    """Read the parameters of PutMetricData.

    Args:
        body: the form, inflated.
        known: datums of earlier forms, without value and time; receives those of this one. What is read shares their
            dimensions: only the datum itself, not what is in it, may be changed.

    Yields:
        None now and then: a moment to let others run.

    Returns:
        The parameters; an element of MetricData that cannot be read is a DecodeError in its place. Or why nothing
        could be read: `invalid_form`, `invalid_utf8` or `too_many_items`.
    """
    try:
        return (yield from _read(body, Table() if known is None else known))
    except FormError as error:
        return DecodeError(Reason.INVALID_FORM, str(error))
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "the form is not UTF-8")


def _read(body: bytes, known: Table[Form]) -> Generator[None, None, dict[str, Any] | DecodeError]:
    parameters: dict[str, Any] = {}
    entities: dict[int, dict[int, Fields]] = {}  # {entity: {datum: fields}}; 0: those of no entity
    reader = Datums(known)
    prefix = b"&"  # in no key
    datum = Tree()
    at = datums = pairs = 0
    while (found := _PAIR.match(body, at)) is not None:
        pairs += 1
        if not pairs % PAUSE_PAIRS:
            yield
        at = found.end()
        key, _, value = found[1].partition(b"=")
        if not key.startswith(prefix):
            begin = _DATUM.match(key)
            if begin is None:
                _top(key, value, parameters)
                continue
            prefix = begin[0]
            numbers = entities.setdefault(index_of(begin[1], key) if begin[1] else 0, {})
            index = index_of(begin[2], key)
            if index not in numbers:
                before, start = len(numbers), found.start(1)
                at = _in_order(body, start, begin, numbers, reader, ITEMS_PER_BODY - datums)
                datums += len(numbers) - before
                if at > start:
                    prefix = b"&"  # if there are more pairs of these datums, they come as those of datums met before
                    yield
                    continue
                at = found.end()
                datums += 1
                if datums > ITEMS_PER_BODY:
                    return _too_many()
                numbers[index] = Tree()
            datum = numbers[index] = reopened(numbers[index])
        reader.put(datum, key[len(prefix) :], value, prefix)
    return (yield from _with_lists(parameters, entities))


def _in_order(
    body: bytes, at: int, begin: re.Match[bytes], numbers: dict[int, Fields], reader: Datums, most: int
) -> int:
    """Read datums from here on, as long as all pairs of each stand together and its number is the next one.

    Args:
        body: the form.
        at: where the first of them begins.
        begin: what its first key begins with.
        numbers: receives them.
        reader: reads them.
        most: how many may be read; no more than `DATUMS_AT_ONCE` are.

    Returns:
        Where the last one ends; `at` if none was read.
    """
    name, index = begin[0][: begin.start(2)], int(begin[2])
    prefix = b"&" + begin[0]
    behind = at - 1  # at the `&` before the datum; -1 at the begin of a form, which has none
    for number in range(index, min(index + min(most, DATUMS_AT_ONCE), ITEMS_PER_BODY + 1)):
        following = _key_begin(name, number + 1)
        end = next_at = body.find(following, at, at + KNOWN_BYTES)
        if next_at < 0:  # the last one, or keys are sorted as text
            last = max(at, body.rfind(prefix, at, at + KNOWN_BYTES) + 1)
            end = body.find(b"&", last, at + KNOWN_BYTES)
            if end < 0:
                end = len(body)
                if end > at + KNOWN_BYTES:
                    break
        pairs = body[behind:end] if behind >= 0 else b"&" + body[:end]
        fields = pairs.replace(prefix, b"&")
        datum = reader.read(fields, (len(pairs) - len(fields)) // (len(prefix) - 1), prefix)
        if datum is None or number in numbers:
            break
        numbers[number] = datum
        at = behind = end
        if next_at < 0:
            break
        prefix = following
    return at


@lru_cache(256)
def _key_begin(name: bytes, number: int) -> bytes:
    """The `&` before a key, and what it begins with; the same few in every call."""
    return b"&%b%d." % (name, number)


def _with_lists(
    parameters: dict[str, Any], entities: dict[int, dict[int, Fields]]
) -> Generator[None, None, dict[str, Any]]:
    """Add MetricData and EntityMetricData to the parameters, as lists in the order of their numbers."""
    groups: dict[int, list[Fields | DecodeError]] = {}
    for entity, numbers in entities.items():
        name = f"EntityMetricData.member.{entity}.MetricData" if entity else "MetricData"
        groups[entity] = yield from _listed(numbers, name)
    if 0 in groups:
        parameters["MetricData"] = groups.pop(0)
    if groups:
        lists = yield from _listed(groups, "EntityMetricData")
        parameters["EntityMetricData"] = [{"MetricData": group} for group in lists]
    return parameters


def _listed(numbers: dict[int, Any], name: str) -> Generator[None, None, list[Any]]:
    """The elements of a list by their numbers, trees finished; `numbers` is empty then: to free many takes long."""
    elements = []
    for index in range(1, len(numbers) + 1):
        if index not in numbers:
            raise missing(name, index)
        element = numbers.pop(index)
        elements.append(finished(element) if isinstance(element, Tree) else element)
        if not index % 32:
            yield
    yield
    return elements


def _top(key: bytes, value: bytes, parameters: dict[str, Any]) -> None:
    """Take a pair that belongs to no datum; what is not read (the entity itself, say) is passed over."""
    if key in _TOP:
        parameters[key.decode()] = text_of(value)
    elif key.startswith(_METRIC_DATA) and not (
        re.fullmatch(rb"EntityMetricData\.member\.[0-9]{1,6}\.Entity\.[\w.]+", key)
        or (key in _METRIC_DATA and not value)
    ):
        raise nonsense(key)


def _find(body: bytes, name: bytes) -> str:
    begin = 0 if body.startswith(name) else body.find(b"&" + name) + 1
    if not begin and not body.startswith(name):
        return ""
    begin += len(name)
    end = body.find(b"&", begin, begin + KEY_BYTES)
    return body[begin : end if end >= 0 else begin + KEY_BYTES].decode("latin-1")


def _too_many() -> DecodeError:
    return DecodeError(Reason.TOO_MANY_ITEMS, f"more than {ITEMS_PER_BODY} datums in one request")
