"""The datums of PutMetricData in the AWS query protocol: the pairs of a form to a datum as JSON has it. Pure.

Where the name and dimensions of a datum came before (`aws_known`), only its value and time are read.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from sidecar.decode.aws_known import Form, Table
from sidecar.decode.numbers import number, plain_number
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY

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


class Tree(dict[Any, Any]):
    """Fields of one datum while the form is read: {field: text}, with {number: ...} in place of lists."""

    __slots__ = ()


Fields: TypeAlias = Tree | dict[str, Any]
"""Fields of one datum: while the form is read, or as JSON has them."""


class FormError(Exception):
    """Raised where a key or a number makes no sense; `aws_form.decode` returns it as a DecodeError."""


class Datums:
    """Reads the pairs of datums.

    Args:
        known: as of `aws_form.decode`.
    """

    def __init__(self, known: Table[Form]) -> None:
        self._known = known
        self._paths: dict[bytes, tuple[Any, ...]] = {}  # {key after the datum's number: where its value belongs}
        # {as escaped: text}: units, times and dimensions are repeated from datum to datum
        self._texts: dict[bytes, str] = {}

    def read(self, fields: bytes, pairs: int, prefix: bytes) -> Fields | None:
        """Read the pairs of one datum.

        Args:
            fields: the pairs, each after a `&`, and with a key that begins with the field's name.
            pairs: how many of them are of this datum.
            prefix: the `&` and what is before the name in the keys.

        Returns:
            The datum; None where there are other pairs among its own.
        """
        before, _, rest = fields.partition(_VALUE)
        raw, more, rest = rest.partition(b"&")
        others = before + more + rest  # as they came, without Value
        value = plain_number(raw)
        known = self._known.get(others) if value is not None else None
        if known is not None and pairs == known.pairs + 1:
            datum = known.members.copy()
            datum["Value"] = value
            return datum
        if fields.count(b"&") != pairs:
            return None
        if value is None:
            return self._read(fields, prefix)
        before, found, rest = others.partition(_TIMESTAMP)
        stamp, more, rest = rest.partition(b"&")
        others = before + more + rest
        known = self._known.get(others) if found else None
        if known is not None:
            datum = known.members.copy()
            datum["Value"] = value
            datum["Timestamp"] = self._text(stamp)
            return datum
        tree = self._read(fields, prefix)
        if _VALUE not in others and _TIMESTAMP not in others and _LISTED.isdisjoint(tree):
            complete = finished(tree)
            if not isinstance(complete, DecodeError):
                members = {name: complete[name] for name in complete if name not in _VARYING}
                self._known.learn(others, Form(members, others.count(b"&")))
                return complete
        return tree

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
        datum = Tree()
        for pair in fields[1:].split(b"&"):
            name, _, value = pair.partition(b"=")
            self.put(datum, name, value, prefix[1:])
        return datum

    def _text(self, raw: bytes) -> str:
        text = self._texts.get(raw)
        if text is None:
            text = self._texts[raw] = text_of(raw)
        return text


def reopened(datum: Fields) -> Tree:
    """A datum to which further pairs belong, as it is while the form is read."""
    if isinstance(datum, Tree):
        return datum
    tree = Tree(datum)
    if "Dimensions" in tree:
        tree["Dimensions"] = {at: dict(pair) for at, pair in enumerate(tree["Dimensions"], 1)}
    return tree


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
    """A datum with lists where JSON has them, or what is wrong with it; the tree itself is unchanged."""
    if _ERROR in tree:
        return tree[_ERROR]  # type: ignore[no-any-return]
    try:
        return {field: ordered(tree[field], field) if field in _LISTS else tree[field] for field in tree}
    except FormError as error:
        return DecodeError(Reason.INVALID_FORM, str(error))


def ordered(numbers: dict[int, Any], name: str) -> list[Any]:
    """The elements of a list by their numbers, which must run from 1."""
    if max(numbers) != len(numbers):
        raise missing(name, next(index for index in range(1, len(numbers) + 1) if index not in numbers))
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


def missing(name: str, index: int) -> FormError:
    """The error for a list of which an element is missing."""
    return FormError(f"{name}.member.{index} is missing: the numbers must run from 1 without a gap")


def nonsense(key: bytes) -> FormError:
    """The error for a key that names no parameter."""
    return FormError(f"{key[:80].decode('latin-1')!a} is not a parameter of PutMetricData")
