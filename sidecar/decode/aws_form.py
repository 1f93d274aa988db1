"""PutMetricData in the AWS query protocol: a form in, the parameters as the JSON protocol has them out. Pure.

Keys are paths: `MetricData.member.3.Dimensions.member.1.Name`. SDKs that sort them as text put member 10 before
member 2, so the numbers decide, and they must run from 1 without a gap. A field of one datum that cannot be read is
an error of that datum; keys that name no field are an error of the request, since what they were meant to say is lost.
Where all pairs of a datum stand together, as SDKs write them, and its name and dimensions came before (`aws_known`),
only its value and time are read.
Source: AWS, "AWS query protocol" (Smithy); requests of boto3 1.34, SDK for JavaScript v2 and v3, Go v2.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final

from sidecar.decode.aws_form_datums import (
    KEY_BYTES,
    Datums,
    FormError,
    Tree,
    finished,
    index_of,
    nonsense,
    ordered,
    reopened,
    text_of,
)
from sidecar.decode.aws_known import Table
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY

PAUSE_PAIRS: Final = 256  # between two pauses: some 0.3 ms
KNOWN_BYTES: Final = 1_024  # longer datums are read pair by pair
_KNOWN_PAIRS: Final = 8  # a datum found again costs as much as so many pairs at most
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


def decode(
    body: bytes, known: Table[dict[str, Any]] | None = None
) -> Generator[None, None, dict[str, Any] | DecodeError]:
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


def _read(body: bytes, known: Table[dict[str, Any]]) -> Generator[None, None, dict[str, Any] | DecodeError]:
    parameters: dict[str, Any] = {}
    entities: dict[int, dict[int, Tree]] = {}  # {entity: {datum: fields}}; 0: those of no entity
    reader = Datums(known)
    prefix = b"&"  # in no key
    datum: Tree = {}
    at = datums = pairs = 0
    pause = PAUSE_PAIRS
    while (found := _PAIR.match(body, at)) is not None:
        pairs += 1
        if pairs >= pause:
            pause = pairs + PAUSE_PAIRS
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
                datums += 1
                if datums > ITEMS_PER_BODY:
                    return _too_many()
                end, fields = _together(body, found.start(1), prefix)
                if fields:
                    at = end
                    numbers[index] = reader.read(fields, prefix)
                    pairs += _KNOWN_PAIRS
                    prefix = b"&"  # if there are more of its pairs, they come as those of a datum met before
                    continue
                numbers[index] = {}
            datum = numbers[index] = reopened(numbers[index])
        reader.put(datum, key[len(prefix) :], value, prefix)
    return (yield from _with_lists(parameters, entities))


def _together(body: bytes, begin: int, prefix: bytes) -> tuple[int, bytes]:
    """Find the pairs from here on whose keys begin with this.

    Returns:
        Where they end, and the pairs, each behind a `&` and without `prefix`; empty where others are between them, or
        they take much space.
    """
    last = max(begin, body.rfind(b"&" + prefix, begin, begin + KNOWN_BYTES) + 1)
    end = body.find(b"&", last, last + KNOWN_BYTES)
    if end < 0:
        end = len(body)
    if end - begin > 2 * KNOWN_BYTES:
        return begin, b""
    pairs = b"&" + body[begin:end]
    fields = pairs.replace(b"&" + prefix, b"&")
    return end, fields if len(pairs) - len(fields) == pairs.count(b"&") * len(prefix) else b""


def _with_lists(
    parameters: dict[str, Any], entities: dict[int, dict[int, Tree]]
) -> Generator[None, None, dict[str, Any]]:
    """Add MetricData and EntityMetricData to the parameters, as lists in the order of their numbers."""
    groups: dict[int, list[dict[str, Any] | DecodeError]] = {}
    for entity, numbers in entities.items():
        name = f"EntityMetricData.member.{entity}.MetricData" if entity else "MetricData"
        group = groups[entity] = []
        for count, tree in enumerate(ordered(numbers, name), 1):
            group.append(finished(tree))
            if not count % 32:
                yield
    if 0 in groups:
        parameters["MetricData"] = groups.pop(0)
    if groups:
        parameters["EntityMetricData"] = [{"MetricData": group} for group in ordered(groups, "EntityMetricData")]
    return parameters


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
