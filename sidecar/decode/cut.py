"""Log events longer than CloudWatch Logs accepts: cut and marked; a JSON object stays one. Pure.

Only fields that are cut are encoded anew; the rest of the text stays as it came.
"""

from __future__ import annotations

from typing import Final

import orjson

from sidecar.decode import scan
from sidecar.model.limits import LOG_MESSAGE_BYTES

TRUNCATED: Final = "[truncated]"
# A character has at most 4 bytes in UTF-8: a message of so many characters fits whatever they are.
UNCUT_CHARACTERS: Final = LOG_MESSAGE_BYTES // 4
_LONGEST_ESCAPE: Final = 6  # bytes: \u0000; a character has at most 4


def cut(message: str) -> tuple[str, bool]:
    """Bring a message within the service's limit of 1,048,550 bytes.

    A JSON object stays one: its longest text field is cut. Anything else is cut at a character's boundary.
    Either ends in `[truncated]`.

    Returns:
        The message, and True if it was cut.
    """
    if len(message) <= UNCUT_CHARACTERS:
        return message, False
    data = message.encode()
    if len(data) <= LOG_MESSAGE_BYTES:
        return message, False
    shorter = _cut_object(data) if message.startswith("{") else None
    if shorter is None:
        shorter = data[: LOG_MESSAGE_BYTES - len(TRUNCATED)].decode("utf-8", "ignore").encode() + TRUNCATED.encode()
    return shorter.decode(), True


def _cut_object(data: bytes) -> bytes | None:
    """Cut the longest text fields of an object, or None where that does not make it short enough."""
    texts = [
        (member.value + 1, end - 1)
        for member in scan.members(data, 1)
        if member is not None
        and data[member.value : member.value + 1] == b'"'
        and (end := member.value + len(data[member.value : member.end].rstrip())) > member.value + 1
    ]
    over = len(data) - LOG_MESSAGE_BYTES
    cuts: list[tuple[int, int, bytes]] = []
    for begin, end in sorted(texts, key=lambda span: span[1] - span[0], reverse=True):
        if over <= 0:
            break
        room = max(0, end - begin - over - len(TRUNCATED))
        try:
            shorter = _fit(orjson.loads(data[begin - 1 : end + 1]), room) + TRUNCATED.encode()
        except orjson.JSONDecodeError:  # a line that only looks like an object
            return None
        cuts.append((begin, end, shorter))
        over -= end - begin - len(shorter)
    if over > 0:
        return None
    pieces: list[bytes] = []
    position = 0
    for begin, end, shorter in sorted(cuts):
        pieces += (data[position:begin], shorter)
        position = end
    return b"".join([*pieces, data[position:]])


def _fit(text: str, most: int) -> bytes:
    """The longest prefix of a text that has at most so many bytes as JSON, without its quotes."""
    encoded = orjson.dumps(text[:most])[1:-1][:most]  # a character has at least one byte
    for end in range(len(encoded), max(0, len(encoded) - _LONGEST_ESCAPE), -1):
        try:
            orjson.loads(b'"%b"' % encoded[:end])
        except orjson.JSONDecodeError:
            continue  # ends within a character or an escape
        return encoded[:end]
    return b""
