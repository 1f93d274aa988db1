"""Conditions: mappings case by case, and any text as a pattern or an event."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.conditions import ConditionError, compile_condition
from sidecar.model.conditions.lexer import NESTING, PATTERN_CHARACTERS
from tests.support.strategies import json_values

EVENT: Final[dict[str, object]] = {
    "level": "error",
    "status": 503,
    "ratio": 0.5,
    "retry": False,
    "none": None,
    "http": {"path": "/health/live", "codes": [200, 404]},
    "user.id": "dotted",
    "tags": ["blue", "green"],
}


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"level": "error"}, True),
        ({"level": "ERROR"}, False),
        ({"level": ["warn", "error"]}, True),
        ({"level": ["warn", "info"]}, False),
        ({"level": "err*"}, True),
        ({"level": "e?ror"}, True),
        ({"level": "[de]rror"}, True),
        ({"level": ["w*", "e*"]}, True),
        ({"level": "error", "status": 500}, False),
        ({"level": "error", "status": 503}, True),
        ({"status": "503"}, True),
        ({"status": "5*"}, True),
        ({"status": 503.0}, True),
        ({"status": [500, 503]}, True),
        ({"status": True}, False),
        ({"ratio": 0.5}, True),
        ({"retry": False}, True),
        ({"retry": 0}, False),
        ({"retry": "false"}, True),
        ({"none": None}, True),
        ({"absent": None}, True),
        ({"level": None}, False),
        ({"level": [None, "error"]}, True),
        ({"absent": "*"}, False),
        ({"http.path": "/health*"}, True),
        ({"http.codes.1": 404}, True),
        ({"http.codes.2": 404}, False),
        ({"http.path.more": "*"}, False),
        ({"user.id": "dotted"}, True),
        ({"tags": "green"}, True),
        ({"tags": "red"}, False),
        ({"http": "*"}, False),
    ],
)
def test_a_mapping_holds_where_all_its_entries_do(when: dict[str, Any], holds: bool) -> None:  # noqa: FBT001
    assert compile_condition(when)(EVENT, "") is holds


@pytest.mark.parametrize("when", [{"a": {"b": 1}}, {"a": []}, {"a": [[1]]}, {"a": "*" * 2_000}, {"a": [1] * 2_000}])
def test_a_mapping_that_no_field_can_fulfil_is_refused(when: dict[str, Any]) -> None:
    with pytest.raises(ConditionError, match=r"^a: "):
        compile_condition(when)


def test_a_pattern_is_bounded() -> None:
    with pytest.raises(ConditionError, match="1024 characters, got 1025"):
        compile_condition("a" * (PATTERN_CHARACTERS + 1))
    deepest = "{ " + "(" * NESTING + "$.a = 1" + ")" * NESTING + " }"
    assert compile_condition(deepest)({"a": 1}, "")


PIECES: Final = st.sampled_from(
    [*"{}[]()%\"'\\$.,*?-= ", "&&", "||", "!=", ">=", "...", "$.a", "IS", "NULL", "NOT", "EXISTS", "1", "4*", "é", "x"]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60), json_values, st.text(max_size=60))
def test_any_text_is_a_condition_or_refused_and_any_event_can_be_asked(
    pattern: str, value: object, message: str
) -> None:
    try:
        condition = compile_condition(pattern)
    except ConditionError:
        return
    fields = value if isinstance(value, dict) else {"a": value}
    assert condition(fields, message) in (True, False)


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_a_wildcard_is_any_characters(pattern: str, text: str) -> None:
    """Against the definition, tried out."""

    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return matches(pattern[1:], text) or (bool(text) and matches(pattern, text[1:]))
        return bool(text) and pattern[0] == text[0] and matches(pattern[1:], text[1:])

    assert compile_condition(f'{{ $.a = "{pattern}" }}')({"a": text}, "") is matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[a, ..., b=x]", "[ " * 32_000),
        ("[a, ..., b=x]", "[ " * 31_000 + "]x"),
        ("[a, ..., b=x]", '"a"b ' * 13_000),
        ('[..., b="' + "*a" * 100 + '"]', "a" * 60_000 + " b"),
        ("%a*a*a*a*a*b%", "a" * 60_000),
        ({"a": "*a" * 100 + "*b"}, "a" * 60_000),
    ],
)
def test_time_is_linear_in_the_message(pattern: Any, message: str) -> None:
    """A bound a hundred times what it takes: one that grows with the square takes minutes."""
    condition = compile_condition(pattern)
    began = time.process_time()
    condition({"a": message}, message)

    assert time.process_time() - began < 5.0
