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
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from sidecar.decode.aws_known import Table
from sidecar.decode.numbers import number, plain_number
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY

Tree: TypeAlias = dict[Any, Any]
"""Fields of one datum while the form is read: {field: text}, with {number: ...} in place of lists."""

KEY_BYTES: Final = 128  # the longest key that names a field has 81
# The longest text that CloudWatch takes, 1,024 characters, has 12,288 bytes where each is four escaped ones.
VALUE_BYTES: Final = 12_288
PAUSE_PAIRS: Final = 256  # between two pauses: some 0.3 ms
KNOWN_BYTES: Final = 1_024  # longer datums are read pair by pair
_KNOWN_PAIRS: Final = 8  # a datum found again costs as much as so many pairs at most
_PAIR: Final = re.compile(rb"&*+([^&]+)")
_DATUM: Final = re.compile(rb"(?:EntityMetricData\.member\.([0-9]{1,6})\.)?MetricData\.member\.([0-9]{1,6})\.")
_FIELD: Final = re.compile(
    r"(?P<name>[A-Za-z]+)"
    r"|(?P<set>StatisticValues)\.(?P<statistic>[A-Za-z]+)"
    r"|(?P<list>Values|Counts)\.member\.(?P<number>[0-9]{1,6})"
    r"|(?P<dimensions>Dimensions)\.member\.(?P<at>[0-9]{1,6})\.(?P<part>Name|Value)"
)
_LISTS: Final = ("Dimensions", "Values", "Counts")
_STRUCTURES: Final = (*_LISTS, "StatisticValues")
_LISTED: Final = frozenset(("", "Values", "Counts", "StatisticValues"))  # a datum with one of these is read each time
_VALUE: Final = b"&Value="
_TIMESTAMP: Final = b"&Timestamp="
_VARYING: Final = ("Value", "Timestamp")
_NOT_TEXT: Final = frozenset(("", "Value", "StorageResolution", "Values", "Counts", "StatisticValues"))
_ERROR: Final = ""  # no field has this name
_TOP: Final = (b"Namespace", b"Action", b"Version")
_METRIC_DATA: Final = (b"MetricData", b"EntityMetricData")


class _FormError(Exception):
    """Raised within this module where a key or a number makes no sense."""


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
    except _FormError as error:
        return DecodeError(Reason.INVALID_FORM, str(error))
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "the form is not UTF-8")


def _read(body: bytes, known: Table[dict[str, Any]]) -> Generator[None, None, dict[str, Any] | DecodeError]:
    parameters: dict[str, Any] = {}
    entities: dict[int, dict[int, Tree]] = {}  # {entity: {datum: fields}}; 0: those of no entity
    reader = _Datums(known)
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
            numbers = entities.setdefault(_index(begin[1], key) if begin[1] else 0, {})
            index = _index(begin[2], key)
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
            datum = numbers[index] = _reopened(numbers[index])
        reader.put(datum, key[len(prefix) :], value, prefix)
    return (yield from _with_lists(parameters, entities))


class _Datums:
    """Reads the pairs of datums.

    Args:
        known: as of `decode`.
    """

    def __init__(self, known: Table[dict[str, Any]]) -> None:
        self._known = known
        self._paths: dict[bytes, tuple[Any, ...]] = {}  # {key behind the datum's number: where its value belongs}
        # {as escaped: text}: units, times and dimensions are repeated from datum to datum
        self._texts: dict[bytes, str] = {}

    def read(self, fields: bytes, prefix: bytes) -> Tree:
        """Read the pairs of one datum, each behind a `&` and with a key that begins with the field's name."""
        before, found, rest = fields.partition(_VALUE)
        raw, more, rest = rest.partition(b"&")
        others = before + more + rest  # with no Value, as they came
        stamp = None
        if _TIMESTAMP in others:
            before, _, rest = others.partition(_TIMESTAMP)
            stamp, more, rest = rest.partition(b"&")
            others = before + more + rest
        value = plain_number(raw) if found else None
        if value is None or _VALUE in others or _TIMESTAMP in others:
            return self._read(fields, prefix)
        known = self._known.get(others)
        if known is None:
            tree = self._read(fields, prefix)
            if _LISTED.isdisjoint(tree) and isinstance(_datum(tree), dict):
                self._known.learn(others, {name: tree[name] for name in tree if name not in _VARYING})
            return tree
        datum = known.copy()
        datum["Value"] = value
        if stamp is not None:
            datum["Timestamp"] = self._text(stamp)
        return datum

    def put(self, datum: Tree, name: bytes, value: bytes, prefix: bytes) -> None:
        """Set what one pair says; its key is `prefix` and the name of a field."""
        path = self._paths.get(name)
        if path is None:
            path = self._paths[name] = _path(name, prefix + name)
        if path[0] in _NOT_TEXT:
            _put_other(datum, path, value)
        elif len(path) == 1:
            datum[path[0]] = self._text(value)
        else:  # a dimension
            datum.setdefault(path[0], {}).setdefault(path[1], {})[path[2]] = self._text(value)

    def _read(self, fields: bytes, prefix: bytes) -> Tree:
        datum: Tree = {}
        for pair in fields[1:].split(b"&"):
            name, _, value = pair.partition(b"=")
            self.put(datum, name, value, prefix)
        return datum

    def _text(self, raw: bytes) -> str:
        text = self._texts.get(raw)
        if text is None:
            text = self._texts[raw] = _text(raw)
        return text


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


def _reopened(datum: Tree) -> Tree:
    """A datum to which further pairs belong, as it is while the form is read."""
    dimensions = datum.get("Dimensions")
    if not isinstance(dimensions, list):
        return datum
    return datum | {"Dimensions": {at: dict(pair) for at, pair in enumerate(dimensions, 1)}}


def _with_lists(
    parameters: dict[str, Any], entities: dict[int, dict[int, Tree]]
) -> Generator[None, None, dict[str, Any]]:
    """Add MetricData and EntityMetricData to the parameters, as lists in the order of their numbers."""
    groups: dict[int, list[dict[str, Any] | DecodeError]] = {}
    for entity, numbers in entities.items():
        name = f"EntityMetricData.member.{entity}.MetricData" if entity else "MetricData"
        ordered = _ordered(numbers, name)
        group = groups[entity] = []
        for count, tree in enumerate(ordered, 1):
            group.append(_datum(tree))
            if not count % 32:
                yield
    if 0 in groups:
        parameters["MetricData"] = groups.pop(0)
    if groups:
        parameters["EntityMetricData"] = [{"MetricData": group} for group in _ordered(groups, "EntityMetricData")]
    return parameters


def _top(key: bytes, value: bytes, parameters: dict[str, Any]) -> None:
    """Take a pair that belongs to no datum; what is not read (the entity itself, say) is passed over."""
    if key in _TOP:
        parameters[key.decode()] = _text(value)
    elif key.startswith(_METRIC_DATA) and not (
        re.fullmatch(rb"EntityMetricData\.member\.[0-9]{1,6}\.Entity\.[\w.]+", key)
        or (key in _METRIC_DATA and not value)
    ):
        raise _nonsense(key)


def _path(rest: bytes, key: bytes) -> tuple[Any, ...]:
    """Where a value belongs: (field,), (field, number or statistic), (field, number, part); ("", field): nowhere.

    The last is an empty list, which is written as an empty text.
    """
    found = _FIELD.fullmatch(_text(rest)) if len(key) <= KEY_BYTES else None
    if found is None:
        raise _nonsense(key)
    if found["name"]:
        return ("", found["name"]) if found["name"] in _STRUCTURES else (found["name"],)
    if found["set"]:
        return found["set"], found["statistic"]
    if found["list"]:
        return found["list"], _index(found["number"].encode(), key)
    return found["dimensions"], _index(found["at"].encode(), key), found["part"]


def _put_other(datum: Tree, path: tuple[Any, ...], raw: bytes) -> None:
    """Set a field that is not text but a number; what is wrong with the first that is none stands beside the fields."""
    if not path[0]:
        if raw:
            raise _FormError(f"{path[1]} is not a text")
        return
    value = plain_number(raw)
    if value is None:
        try:
            value = number(_text(raw).encode())
        except DecodeError as error:
            # Not `error`, whose traceback holds the request.
            datum.setdefault(_ERROR, DecodeError(error.reason, f"{'.'.join(map(str, path))}: {error.detail}"))
            return
    if len(path) == 1:
        datum[path[0]] = value
    else:
        datum.setdefault(path[0], {})[path[1]] = value


def _datum(tree: Tree) -> dict[str, Any] | DecodeError:
    """Give a datum lists where JSON has them."""
    if _ERROR in tree:
        return tree[_ERROR]  # type: ignore[no-any-return]
    try:
        for field in _LISTS:
            if tree.get(field).__class__ is dict:
                tree[field] = _ordered(tree[field], field)
    except _FormError as error:
        return DecodeError(Reason.INVALID_FORM, str(error))
    return tree


def _ordered(numbers: dict[int, Any], name: str) -> list[Any]:
    """The elements of a list by their numbers, which must run from 1."""
    if max(numbers) != len(numbers):
        missing = next(index for index in range(1, len(numbers) + 1) if index not in numbers)
        raise _FormError(f"{name}.member.{missing} is missing: the numbers must run from 1 without a gap")
    return [numbers[index] for index in range(1, len(numbers) + 1)]


def _index(digits: bytes, key: bytes) -> int:
    index = int(digits)
    if not 1 <= index <= ITEMS_PER_BODY:
        raise _nonsense(key)
    return index


def _text(raw: bytes) -> str:
    if len(raw) > VALUE_BYTES:
        return raw.decode("latin-1")  # too long for whatever it is, and refused for that
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.decode()


def _find(body: bytes, name: bytes) -> str:
    begin = 0 if body.startswith(name) else body.find(b"&" + name) + 1
    if not begin and not body.startswith(name):
        return ""
    begin += len(name)
    end = body.find(b"&", begin, begin + KEY_BYTES)
    return body[begin : end if end >= 0 else begin + KEY_BYTES].decode("latin-1")


def _nonsense(key: bytes) -> _FormError:
    return _FormError(f"{key[:80].decode('latin-1')!a} is not a parameter of PutMetricData")


def _too_many() -> DecodeError:
    return DecodeError(Reason.TOO_MANY_ITEMS, f"more than {ITEMS_PER_BODY} datums in one request")
