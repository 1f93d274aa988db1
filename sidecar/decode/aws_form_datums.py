"""The datums of PutMetricData in the AWS query protocol: the pairs of a form to a datum as JSON has it. Pure.

Where the name and dimensions of a datum came before (`aws_known`), only its value and time are read.
"""

from __future__ import annotations

import re
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


class FormError(Exception):
    """Raised where a key or a number makes no sense; `aws_form.decode` returns it as a DecodeError."""


class Datums:
    """Reads the pairs of datums.

    Args:
        known: as of `aws_form.decode`.
    """

    def __init__(self, known: Table[dict[str, Any]]) -> None:
        self._known = known
        self._paths: dict[bytes, tuple[Any, ...]] = {}  # {key after the datum's number: where its value belongs}
        # {as escaped: text}: units, times and dimensions are repeated from datum to datum
        self._texts: dict[bytes, str] = {}

    def read(self, fields: bytes, prefix: bytes) -> Tree:
        """Read the pairs of one datum, each after a `&` and with a key that begins with the field's name."""
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
            if _LISTED.isdisjoint(tree) and isinstance(finished(tree), dict):
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
            text = self._texts[raw] = text_of(raw)
        return text


def reopened(datum: Tree) -> Tree:
    """A datum to which further pairs belong, as it is while the form is read."""
    dimensions = datum.get("Dimensions")
    if not isinstance(dimensions, list):
        return datum
    return datum | {"Dimensions": {at: dict(pair) for at, pair in enumerate(dimensions, 1)}}


def _path(rest: bytes, key: bytes) -> tuple[Any, ...]:
    """Where a value belongs: (field,), (field, number or statistic), (field, number, part); ("", field): nowhere.

    The last is an empty list, which is written as an empty text.
    """
    found = _FIELD.fullmatch(text_of(rest)) if len(key) <= KEY_BYTES else None
    if found is None:
        raise nonsense(key)
    if found["name"]:
        return ("", found["name"]) if found["name"] in _STRUCTURES else (found["name"],)
    if found["set"]:
        return found["set"], found["statistic"]
    if found["list"]:
        return found["list"], index_of(found["number"].encode(), key)
    return found["dimensions"], index_of(found["at"].encode(), key), found["part"]


def _put_other(datum: Tree, path: tuple[Any, ...], raw: bytes) -> None:
    """Set a field that is not text but a number; what is wrong with the first that is none stands beside the fields."""
    if not path[0]:
        if raw:
            raise FormError(f"{path[1]} is not a text")
        return
    value = plain_number(raw)
    if value is None:
        try:
            value = number(text_of(raw).encode())
        except DecodeError as error:
            # Not `error`, whose traceback holds the request.
            datum.setdefault(_ERROR, DecodeError(error.reason, f"{'.'.join(map(str, path))}: {error.detail}"))
            return
    if len(path) == 1:
        datum[path[0]] = value
    else:
        datum.setdefault(path[0], {})[path[1]] = value


def finished(tree: Tree) -> dict[str, Any] | DecodeError:
    """Give a datum lists where JSON has them."""
    if _ERROR in tree:
        return tree[_ERROR]  # type: ignore[no-any-return]
    try:
        for field in _LISTS:
            if tree.get(field).__class__ is dict:
                tree[field] = ordered(tree[field], field)
    except FormError as error:
        return DecodeError(Reason.INVALID_FORM, str(error))
    return tree


def ordered(numbers: dict[int, Any], name: str) -> list[Any]:
    """The elements of a list by their numbers, which must run from 1."""
    if max(numbers) != len(numbers):
        missing = next(index for index in range(1, len(numbers) + 1) if index not in numbers)
        raise FormError(f"{name}.member.{missing} is missing: the numbers must run from 1 without a gap")
    return [numbers[index] for index in range(1, len(numbers) + 1)]


def index_of(digits: bytes, key: bytes) -> int:
    """The number in a key; raises FormError where it is none from 1 to 100,000."""
    index = int(digits)
    if not 1 <= index <= ITEMS_PER_BODY:
        raise nonsense(key)
    return index


def text_of(raw: bytes) -> str:
    """The text of a value; raises UnicodeDecodeError."""
    if len(raw) > VALUE_BYTES:
        return raw.decode("latin-1")  # too long for whatever it is, and refused for that
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.decode()


def nonsense(key: bytes) -> FormError:
    """The error for a key that names no parameter."""
    return FormError(f"{key[:80].decode('latin-1')!a} is not a parameter of PutMetricData")
