"""What the built-in finders of `logs.redact` look for, and how each avoids what only looks alike. Pure.

A finder is an RE2 pattern, and a check of what it found where a pattern cannot say it. Where the pattern has a group,
that is what is redacted; the rest is context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

HEX: Final = frozenset(b"0123456789abcdefABCDEF")
DIGITS: Final = frozenset(b"0123456789")
TOKEN_CHARACTERS: Final = 32  # a bearer token without a digit is at least so long
# Files are named like addresses: icon@2x.png.
FILE_ENDINGS: Final = frozenset(
    b"png jpg jpeg gif svg webp ico css scss js mjs cjs ts tsx jsx json map md html yaml yml toml tgz gz zip whl jar so"
    b" dll exe py go rs rb java".split()
)
# First digits and number of digits, as the issuers have them (ISO/IEC 7812, the issuers' own pages; read 2026-11-21).
ISSUERS: Final = (
    (4, 4, (16, 19)),  # Visa
    (51, 55, (16,)),  # Mastercard
    (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)),  # American Express
    (37, 37, (15,)),  # American Express
    (6011, 6011, (16, 19)),  # Discover
    (644, 649, (16, 19)),  # Discover
    (65, 65, (16, 19)),  # Discover
    (300, 305, (14,)),  # Diners Club
    (36, 36, (14,)),  # Diners Club
    (38, 39, (14,)),  # Diners Club
    (3528, 3589, (16,)),  # JCB
    (62, 62, (16, 17, 18, 19)),  # UnionPay
)


class Finder(NamedTuple):
    """One finder.

    Attributes:
        pattern: RE2.
        check: of the text and the first byte and the end of what was found; True if it is what is looked for.
    """

    pattern: str
    check: Callable[[bytes, int, int], bool] | None = None


def _card(text: bytes, first: int, end: int) -> bool:
    """True if digits are a card number: issuer, length and checksum, and no part of a longer identifier."""
    before, after = text[max(first - 2, 0) : first], text[end : end + 2]
    if before[-1:] in (b".", b"_") or (before[-1:] == b"-" and len(before) > 1 and before[0] in HEX):
        return False
    if after[:1] == b"_" or (after[:1] in (b".", b"-") and len(after) > 1 and after[1] in HEX):
        return False
    digits = [one - 48 for one in text[first:end] if one in DIGITS]
    number = "".join(map(str, digits))
    if not any(low <= int(number[: len(str(low))]) <= high and len(digits) in sizes for low, high, sizes in ISSUERS):
        return False
    # ISO/IEC 7812-1, Luhn: every second digit from the right doubled, the digits of these added up.
    return sum(sum(divmod(2 * one, 10)) if place % 2 else one for place, one in enumerate(reversed(digits))) % 10 == 0


def _email(text: bytes, first: int, end: int) -> bool:
    """True if the domain does not end as a file does."""
    return text[first:end].rpartition(b".")[2].lower() not in FILE_ENDINGS


def _bearer(text: bytes, first: int, end: int) -> bool:
    """True if what follows is a token and no word: it has a digit, or is long."""
    return end - first >= TOKEN_CHARACTERS or any(one in DIGITS for one in text[first:end])


FINDERS: Final = {
    "email": Finder(
        r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}\b",
        _email,
    ),
    "card": Finder(
        r"\b(?:[2-6]\d{13,18}|[2-6]\d{3}(?: \d{4} \d{4} \d{4}(?: \d{3})?|-\d{4}-\d{4}-\d{4}(?:-\d{3})?"
        r"| \d{6} \d{4,5}|-\d{6}-\d{4,5}))\b",
        _card,
    ),
    # Key ids, and secret keys behind their name: forty characters alone may as well be a hash.
    "aws_key": Finder(
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
        r"|(?:(?i:aws_?secret|secret_?access)[A-Za-z_]{0,20})[\\\"']{0,4}\s{0,4}[:=]\s{0,4}[\\\"']{0,4}([A-Za-z0-9/+=]{40})"
        r"(?:[^A-Za-z0-9/+=]|$)",
    ),
    "jwt": Finder(r"\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){2,4}"),
    "bearer": Finder(r"(?i)\bbearer[ =:]{1,3}([A-Za-z0-9._~+/-]{8,}={0,2})", _bearer),
    # To its end, or where it was cut as far as it goes. In JSON the line ends are escaped.
    "private_key": Finder(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s\\:,-]*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----"
        r"|(?:[A-Za-z0-9+/=\s\\:,-]*[A-Za-z0-9+/=])?)",
    ),
}
