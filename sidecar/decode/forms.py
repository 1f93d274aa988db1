"""Form bodies to log events: what Python's `logging.handlers.HTTPHandler` and HTML forms send. Pure.

Source: `application/x-www-form-urlencoded` of the URL standard, as UTF-8. The event has the form's fields, as text;
a field that is repeated has its last value.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import orjson

from sidecar.decode.items import Item
from sidecar.model.errors import BodyTooLargeError, DecodeError, Reason, UnsupportedError

FORM: Final = "application/x-www-form-urlencoded"
FORM_BYTES: Final = 65_536  # parsing is slow: so much takes up to 5 ms
FIELDS: Final = 1_000


def form_items(body: bytes) -> list[Item]:
    """Read a form as one item.

    Raises:
        BodyTooLargeError: over 65,536 bytes.
        UnsupportedError: text without any field that has a value.
    """
    if len(body) > FORM_BYTES:
        raise BodyTooLargeError(f"a form has at most {FORM_BYTES} bytes: send JSON")
    try:
        fields = dict(parse_qsl(body.strip().decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS))
    except UnicodeDecodeError:
        return [Item(None, error=DecodeError(Reason.INVALID_UTF8, "the form is not UTF-8"))]
    except ValueError:
        return [Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, f"a form has at most {FIELDS} fields"))]
    if not any(fields.values()):
        # Any text is formally a form, of one field without a value: curl sends text with this content type by default.
        raise UnsupportedError("the form has no field with a value: send JSON, or text/plain with one event a line")
    return [Item(fields, orjson.dumps(fields).decode())]
