"""Redaction: fields by name, own patterns, masks, hashes and dropped events; on text, JSON and JSON within JSON."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.events import LogEvent
from sidecar.shape.redact import Redaction, Redactor
from tests.support.strategies import json_values

KEY: Final = b"a key"
SECRET: Final = "S3CR3T-0042"
OWN: Final = Redaction(pattern="S3CR3T-[0-9]{4}")


def redacted(text: str, *rules: Redaction, key: bytes | None = KEY) -> str:
    return Redactor(rules, key).redact(text)[0]


def event(fields: dict[str, Any], **more: Any) -> LogEvent:
    return LogEvent(0, orjson.dumps(fields).decode(), fields, **more)


FIELDS: Final = Redaction(fields=("password", "*_token", "user.ssn"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"password": "x", "a": 1}', '{"password": "[redacted]", "a": 1}'),
        ('{"PassWord":12345678901234567890123}', '{"PassWord":"[redacted]"}'),
        ('{"password": null}', '{"password": null}'),
        ('{"password": {"a": [1, "}"]}, "b": 1}', '{"password": "[redacted]", "b": 1}'),
        ('{"password": ["a", {"b": 2}]}', '{"password": "[redacted]"}'),
        ('{"password": "a\\"b,c", "d": 1}', '{"password": "[redacted]", "d": 1}'),
        ('{"p\\u0061ssword": "x"}', '{"password": "[redacted]"}'),
        ('{"a": [{"access_token": true}]}', '{"a": [{"access_token": "[redacted]"}]}'),
        ('{"user": {"ssn": 7}, "ssn": 7}', '{"user": {"ssn": "[redacted]"}, "ssn": 7}'),
        ('{"user.ssn": 7}', '{"user.ssn": "[redacted]"}'),
        ('{"a": "password", "b": 1}', '{"a": "password", "b": 1}'),
        ('{"a": "\\"password\\": 1"}', '{"a": "\\"password\\": 1"}'),
        ('{"body": "{\\"password\\": \\"x\\"}"}', '{"body": "{\\"password\\": \\"[redacted]\\"}"}'),
        ('request {"password": "x"} done', 'request {"password": "[redacted]"} done'),
        ('cut {"password": "x', 'cut {"password": "[redacted]"'),
        ('{"mypassword": 1, "passwords": 2}', '{"mypassword": 1, "passwords": 2}'),
    ],
)
def test_fields_are_replaced_by_name_with_the_whole_value(text: str, expected: str) -> None:
    assert redacted(text, FIELDS) == expected


def test_what_is_not_redacted_stays_as_it_came() -> None:
    text = '{ "big": 123456789012345678901234567890, "f": 1.10, "e":"\\u00e9",\t"secret":"%s" }' % SECRET  # noqa: UP031

    assert redacted(text, OWN) == text.replace(SECRET, "[redacted]").replace("\\u00e9", "é")
    assert redacted(text, Redaction(pattern="absent")) is text


def test_a_number_that_is_redacted_becomes_text() -> None:
    text = '{"card": 4111111111111111, "list": [4111111111111111], "n": 12345678901234567890123}'

    assert redacted(text, Redaction(find=("card",)), FIELDS) == (
        '{"card": "[card]", "list": ["[card]"], "n": 12345678901234567890123}'
    )


def test_a_pattern_that_reaches_over_a_string_is_redacted_though_no_json_is_left() -> None:
    assert redacted('{"a": "x", "b": "y"}', Redaction(pattern='x", "b')) == '{"a": "[redacted]": "y"}'


def test_a_hash_is_the_same_for_the_same_value_and_another_with_another_key() -> None:
    rule = Redaction(pattern="u-[0-9]+", replace="hash", name="user")
    first, second = redacted("u-1 u-1 u-2", rule), redacted("u-1 u-1 u-2", rule, key=b"other")
    one, same, other = first.split()

    assert one.startswith("[user:")
    assert len(one) == len("[user:]") + 16
    assert one == same != other
    assert first != second


def test_a_hash_of_a_field_does_not_depend_on_how_it_is_written() -> None:
    rule = Redaction(fields=("id",), replace="hash")
    texts = ('{"id": "a/b"}', '{"id":"a\\/b"}', '{"id": "\\u0061/b"}')

    assert len({orjson.loads(redacted(text, rule))["id"] for text in texts}) == 1


def test_an_event_is_redacted_in_message_fields_group_and_stream() -> None:
    redactor = Redactor([OWN], KEY)
    one = event({"m": SECRET, "deep": {"a": SECRET}}, group=f"/g/{SECRET}", stream=SECRET)

    assert redactor.redact_event(one) is False
    assert one.message == '{"m":"[redacted]","deep":{"a":"[redacted]"}}'
    assert one.fields == {"m": "[redacted]", "deep": {"a": "[redacted]"}}
    assert (one.group, one.stream) == ("/g/[redacted]", "[redacted]")
    assert redactor.hits == {(0, "redacted"): 4}


def test_an_event_without_a_hit_is_not_touched() -> None:
    one = event({"m": "clean"})
    message, fields = one.message, one.fields

    assert Redactor([OWN, FIELDS], KEY).redact_event(one) is False
    assert one.message is message
    assert one.fields is fields


def test_drop_event_says_so_and_redacts_all_the_same() -> None:
    redactor = Redactor([Redaction(find=("private_key", "email"), replace="drop_event"), OWN], None)
    one = event({"m": f"a@b.de {SECRET}"})

    assert redactor.redact_event(one) is True
    assert one.message == '{"m":"[email] [redacted]"}'
    assert redactor.hits == {(0, "private_key"): 0, (0, "email"): 1, (1, "redacted"): 1}


def test_hits_are_counted_by_rule_and_only_what_was_replaced() -> None:
    redactor = Redactor([Redaction(find=("card", "email")), FIELDS, Redaction(fields=("x",), name="x")], None)
    redactor.redact('{"password": "a@b.de", "x": 4111111111111112, "y": "[redacted]"}')

    assert redactor.hits == {(0, "card"): 0, (0, "email"): 1, (1, "redacted"): 1, (2, "x"): 1}


def test_many_large_patterns_are_all_found() -> None:
    """More than one RE2 set is trusted with."""
    rules = [Redaction(pattern=f"begin{n} [^ ]{{500}} end", name=f"n{n}") for n in range(60)]
    redactor = Redactor(rules, None)

    for n in range(60):
        assert redactor.redact(f"a begin{n} {'é' * 500} end b")[0] == f"a [n{n}] b"


RULES: Final = (
    Redaction(find=("email", "card", "aws_key", "jwt", "bearer", "private_key")),
    FIELDS,
    OWN,
    Redaction(pattern="geh[ée]im", replace="hash", name="own"),
)


@given(
    json_values, st.booleans(), st.sampled_from([SECRET, "a.b@example.org", "4111111111111111", "AKIAIOSFODNN7EXAMPLE"])
)
def test_a_secret_is_found_wherever_it_is_in_json(value: Any, ascii_only: bool, secret: str) -> None:  # noqa: FBT001
    """Beside any other value, in any way JSON may be written; and the rest stays."""
    document = {"rest": value, "at": [f"before {secret} after"], secret: 1}
    text = redacted(json.dumps(document, ensure_ascii=ascii_only), *RULES)

    assert secret not in text
    read = json.loads(text)
    assert read["at"][0].startswith("before [")
    assert read["at"][0].endswith("] after")
    assert len(read) == 3


@given(st.text(max_size=200) | st.text('{}[]:,"\\ \nabpasword_tken@.0123456789-', max_size=200))
def test_any_text_can_be_redacted_and_once_is_enough(text: str) -> None:
    redactor = Redactor(RULES, KEY)
    once, _ = redactor.redact(text)

    assert redactor.redact(once)[0] == once


@pytest.mark.parametrize(
    "text",
    [
        '{"password":' * 20_000,
        '"\\"' * 60_000,
        '{"a_token":["' * 20_000,
        "a@" * 100_000,
        "a.b@c." * 40_000,
        "4111 " * 50_000,
        "411111111111111 " * 15_000,
        "bearer " * 30_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
        "eyJ" * 80_000,
        "\\u0022" * 40_000,
        "\\" * 200_000,
        '{"password": "' + '{\\"password\\": ' * 15_000,
    ],
    ids=lambda text: text[:20],
)
def test_time_is_linear_in_the_text(text: str) -> None:
    """A bound several times what it takes on a busy machine: one that grows with the square takes minutes."""
    redactor = Redactor(RULES, KEY)
    began = time.process_time()
    redactor.redact(text)

    assert time.process_time() - began < 10.0
