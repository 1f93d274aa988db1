"""The built-in finders: what each finds, and what only looks alike and must not be hit."""

from __future__ import annotations

import hashlib
import random
import uuid
from typing import Final

import orjson
import pytest

from sidecar.shape.finders import FINDERS
from sidecar.shape.redact import Redaction, Redactor

ALL: Final = Redaction(find=tuple(FINDERS))
REDACTOR: Final = Redactor([ALL], None)
JWT: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PEM: Final = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq+/=\nq83v\n-----END RSA PRIVATE KEY-----"

FOUND: Final = [
    ("mail bob@example.com now", "mail [email] now"),
    ("<Bob.O-Brien+x@mail.example.co.uk>", "<[email]>"),
    ("a@b.de,c@d.fr", "[email],[email]"),
    ("Bob@EXAMPLE.COM.", "[email]."),
    ("card 4111111111111111.", "card [card]."),
    ("4111 1111 1111 1111", "[card]"),
    ("5500-0000-0000-0004", "[card]"),
    ("2223003122003222", "[card]"),
    ("3782 822463 10005", "[card]"),
    ("378282246310005", "[card]"),
    ("6011111111111117", "[card]"),
    ("30569309025904", "[card]"),
    ("3530111333300000", "[card]"),
    ("card=4111111111111111&x", "card=[card]&x"),
    ("1234 4111 1111 1111 1111", "1234 [card]"),
    ("4000 4111 1111 1111 1111", "4000 [card]"),
    ("1699999999999 4111111111111111", "1699999999999 [card]"),
    ("key AKIAIOSFODNN7EXAMPLE", "key [aws_key]"),
    ("ASIAIOSFODNN7EXAMPLE", "[aws_key]"),
    (f"aws_secret_access_key = {SECRET}", "aws_secret_access_key = [aws_key]"),
    (f'"SecretAccessKey": "{SECRET}"', '"SecretAccessKey": "[aws_key]"'),
    (f"AWS_SECRET_ACCESS_KEY={SECRET}", "AWS_SECRET_ACCESS_KEY=[aws_key]"),
    (f"token {JWT} end", "token [jwt] end"),
    ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer [bearer]"),
    ("authorization=bearer: abc.def-123_x==", "authorization=bearer: [bearer]"),
    (f"{PEM}\nrest", "[private_key]\nrest"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEv", "[private_key]"),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nDEK-Info: A,B\nMII=", "[private_key]"),
]
ALIKE: Final = [
    "1763758800000",  # milliseconds
    "1763758800000000",  # microseconds
    "1763758800000000000",  # nanoseconds
    "4111111111111112",  # checksum
    "9111111111111111",  # issuer
    "41111111111111110000000",  # longer than any card
    "0.4111111111111111",
    "4111111111111111.25",
    "id_4111111111111111",
    "4111111111111111_x",
    "a4111111111111111",
    "f-4111111111111111",
    "550e8400-e29b-41d4-a716-446655440000",
    "+49 30 901820",
    "10.0.0.1:4111",
    "2026-11-21T21:00:00.123456Z",
    "1234-5678-9012-3456",
    hashlib.sha256(b"x").hexdigest(),
    hashlib.sha1(b"x").hexdigest(),
    "icon@2x.png",
    "react@18.2.0",
    "image@sha256:0123456789abcdef",
    "@decorator",
    "user@localhost",
    "AKIAIOSFODNN7",
    "XAKIAIOSFODNN7EXAMPLE",
    "AIDAIOSFODNN7EXAMPLE",  # a user's id, no key
    "the bearer of this letter",
    "bearer authentication failed",
    "eyJhbGci",
    "eyJhbGciOiJIUzI1NiJ9",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
]


def redacted(text: str) -> str:
    return REDACTOR.redact(text)[0]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_a_finder_finds(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_a_finder_finds_in_the_text_of_json_however_it_is_escaped(text: str, expected: str) -> None:
    """Also where every character is written as an escape."""
    escaped = "".join(f"\\u{ord(one):04x}" for one in text)

    for document in (orjson.dumps({"m": f"\n{text}\n"}).decode(), f'{{"m": "\\n{escaped}\\n"}}'):
        assert orjson.loads(redacted(document)) == {"m": f"\n{expected}\n"}


@pytest.mark.parametrize("text", ALIKE)
def test_what_only_looks_alike_is_not_hit(text: str) -> None:
    document = orjson.dumps({"m": text}).decode()

    assert redacted(text) == text
    assert redacted(f"a {text} b") == f"a {text} b"
    assert redacted(document) == document


def test_identifiers_at_random_are_hardly_ever_hit() -> None:
    """Of timestamps, ids and hashes none; of digits of a card's length those few that are cards by their numbers."""
    chance = random.Random(7)
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(2_000)]
    ids += [str(1_700_000_000_000 + chance.randrange(10**11)) for _ in range(2_000)]
    ids += [f"{chance.getrandbits(160):040x}" for _ in range(2_000)]
    ids += [f"{chance.getrandbits(64):016x}" for _ in range(2_000)]
    digits = [str(chance.randrange(10**15, 10**16)) for _ in range(2_000)]

    hits = [one for one in ids if redacted(one) != one]
    assert [one for one in hits if not one.isdigit()] == []
    assert len(hits) <= 3
    assert sum(redacted(one) != one for one in digits) <= 0.05 * len(digits)
