"""Datums in CBOR that came before with another value and time: read without reading their bytes one by one. Pure.

No value in CBOR begins with another whole one, so bytes that were a datum in an earlier call are the same datum.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from sidecar.decode.aws_known import KEY_BYTES, Datum, Table

TAIL_BYTES: Final = 128  # after the value of a datum that is stored
# The members of a datum that differ from call to call: a time, and a value as SDKs write it.
_VARYING: Final = re.compile(
    rb"(?:\x69Timestamp\xc1(?:\xfb(?P<seconds>.{8})|\x1a(?P<whole_seconds>.{4}))\x65|\x65)"
    rb"Value(?:\xfb(?P<value>.{8})|(?P<whole>[\x00-\x17]|\x18.|\x19..|\x1a.{4}))",
    re.DOTALL,
)
_STAMP: Final = b"\x69Timestamp\xc1"
_VALUE: Final = b"\x65Value"
_FLOAT_VALUE: Final = b"\x65Value\xfb"
_FLOAT_BEGIN: Final = len(_FLOAT_VALUE)
_FLOAT_END: Final = len(_FLOAT_VALUE) + 8
_double: Final = struct.Struct(">d").unpack_from


def find(known: Table[Datum], data: bytes, begin: int) -> tuple[dict[str, Any], int] | None:
    """Find the datum that begins here in the table.

    Returns:
        Its members, what is in them shared with the table; and where it ends. None where it is not found.
    """
    limit = begin + KEY_BYTES
    at = data.find(_FLOAT_VALUE, begin, limit)
    if at >= 0:
        datum = known.get(data[begin:at])
        if datum is not None and not datum.stamped:  # without a regular expression, which takes as long as all this
            end = at + _FLOAT_END
            if not data.startswith(datum.tail, end):
                return None
            members = datum.members.copy()
            members["Value"] = _double(data, at + _FLOAT_BEGIN)[0]
            return members, end + len(datum.tail)
    stamp_at = data.find(_STAMP, begin, limit if at < 0 else at)
    if stamp_at >= 0:
        at = stamp_at
    datum = known.get(data[begin:at]) if at >= 0 else None
    varying = _VARYING.match(data, at) if datum is not None else None
    if varying is None:  # a whole number is its value: to search for that takes ten times as long
        varying = _VARYING.search(data, begin, limit)
        datum = known.get(data[begin : varying.start()]) if varying is not None else None
    if datum is None or varying is None or not data.startswith(datum.tail, varying.end()):
        return None
    if datum.stamped is not data.startswith(_STAMP, varying.start()):
        return None
    members = datum.members.copy()
    seconds, whole_seconds, value, whole = varying.groups()
    if seconds is not None:
        members["Timestamp"] = _double(seconds)[0]
    elif whole_seconds is not None:
        members["Timestamp"] = int.from_bytes(whole_seconds)
    if value is not None:
        members["Value"] = _double(value)[0]
    else:
        members["Value"] = whole[0] if len(whole) == 1 else int.from_bytes(whole[1:])
    return members, varying.end() + len(datum.tail)


def learn(known: Table[Datum], data: bytes, places: tuple[int, int, int, int], members: dict[str, Any]) -> None:
    """Add a datum to the table, where its time and value stand together.

    Args:
        known: the table.
        data: the document.
        places: where the datum begins, its keys `Timestamp` (0: none) and `Value` are, and where it ends.
        members: of the datum.
    """
    begin, stamp_at, value_at, end = places
    varying = _VARYING.match(data, stamp_at or value_at)
    # Found at a key of the datum, it is these members, unless the value is that of a later key.
    if varying is None or varying.end() > end or (stamp_at and data.find(_VALUE, stamp_at) != value_at):
        return
    tail = data[varying.end() : end]
    if len(tail) <= TAIL_BYTES:
        known.learn(data[begin : varying.start()], Datum(members.copy(), tail, bool(stamp_at)))
