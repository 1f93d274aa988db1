"""Typed reading of a decoded JSON request.  Values in, typed values out.

AWS services refuse a member of the wrong JSON type before any rule of the operation is
looked at, with `SerializationException`.  A member that is null counts as absent; a
null inside a list is an error (Smithy: lists are dense unless marked `sparse`).
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

from .errors import ServiceError

JsonObject: TypeAlias = dict[str, object]

# Smithy "awsJson1_0": NaN and the infinities travel as these strings.
_SPECIAL_NUMBERS: Final = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}


def text(source: JsonObject, key: str) -> str | None:
    """Read the string at `key`, or None if it is absent."""
    found = source.get(key)
    if found is None or isinstance(found, str):
        return found
    raise _mismatch(found, "String")


def number(source: JsonObject, key: str) -> float | None:
    """Read the double at `key`, or None; may be NaN or infinite."""
    found = source.get(key)
    return None if found is None else _to_float(found)


def integer(source: JsonObject, key: str) -> int | None:
    """Read the integer at `key`, or None; `60.0` is accepted for 60, 60.5 is not."""
    found = source.get(key)
    if found is None:
        return None
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    raise _mismatch(found, "Integer")


def flag(source: JsonObject, key: str) -> bool | None:
    """Read the boolean at `key`, or None."""
    found = source.get(key)
    if found is None or isinstance(found, bool):
        return found
    raise _mismatch(found, "Boolean")


def numbers(source: JsonObject, key: str) -> tuple[float, ...] | None:
    """Read the list of doubles at `key`, or None."""
    found = _list(source, key)
    return None if found is None else tuple(map(_to_float, found))


def texts(source: JsonObject, key: str) -> tuple[str, ...] | None:
    """Read the list of strings at `key`, or None."""
    found = _list(source, key)
    if found is None:
        return None
    for element in found:
        if not isinstance(element, str):
            raise _mismatch(element, "String")
    return tuple(str(element) for element in found)


def structure(source: JsonObject, key: str) -> JsonObject | None:
    """Read the object at `key`, or None."""
    found = source.get(key)
    return None if found is None else as_structure(found)


def structures(source: JsonObject, key: str) -> list[JsonObject] | None:
    """Read the list of objects at `key`, or None."""
    found = _list(source, key)
    return None if found is None else [as_structure(element) for element in found]


def as_structure(found: object) -> JsonObject:
    """Take `found` for an object, or refuse it."""
    if isinstance(found, dict):
        return found
    raise _mismatch(found, "Structure")


def _list(source: JsonObject, key: str) -> list[object] | None:
    found = source.get(key)
    if found is None or isinstance(found, list):
        return found
    raise _mismatch(found, "List")


def _to_float(found: object) -> float:
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return float(found)
    if isinstance(found, str) and found in _SPECIAL_NUMBERS:
        return _SPECIAL_NUMBERS[found]
    raise _mismatch(found, "Double")


def _mismatch(found: object, wanted: str) -> ServiceError:
    names: tuple[tuple[type, str], ...] = (
        (type(None), "NULL_VALUE"),
        (bool, "TRUE_VALUE" if found else "FALSE_VALUE"),
        (int, "NUMBER_VALUE"),
        (float, "DECIMAL_VALUE"),
        (str, "STRING_VALUE"),
        (list, "START_ARRAY"),
    )
    name = next((name for kind, name in names if isinstance(found, kind)), "START_OBJECT")
    return ServiceError("SerializationException", f"{name} can not be converted to {wanted}")
