"""CloudWatch Logs filter patterns: what each holds of, where it is wrong, and moto's implementation beside ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from moto.logs.utils import EventMessageFilter

from sidecar.model.conditions import ConditionError, compile_condition

VECTORS: Final[list[dict[str, Any]]] = [
    json.loads(line) for line in (Path(__file__).parent / "filter_patterns.jsonl").read_text("ascii").splitlines()
]
PATTERNS: Final = [vector for vector in VECTORS if "error_at" not in vector]
WRONG: Final = [vector for vector in VECTORS if "error_at" in vector]
# moto knows a phrase in quotes, and words of letters; to any other pattern it answers yes.
MOTO: Final = [vector for vector in PATTERNS if re.fullmatch(r'"[^"\\]+"|[A-Za-z]+( [A-Za-z]+)*', vector["pattern"])]


def fields_of(message: str) -> dict[str, object]:
    try:
        fields = json.loads(message)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def test_ids_are_unique() -> None:
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", PATTERNS, ids=lambda vector: vector["id"])
def test_a_pattern_holds_of_its_messages_and_of_no_others(vector: dict[str, Any]) -> None:
    condition = compile_condition(vector["pattern"])

    assert [message for message in vector["matches"] if not condition(fields_of(message), message)] == []
    assert [message for message in vector["others"] if condition(fields_of(message), message)] == []


@pytest.mark.parametrize("vector", WRONG, ids=lambda vector: vector["id"])
def test_a_wrong_pattern_is_refused_with_the_position(vector: dict[str, Any]) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(vector["pattern"])

    assert str(caught.value).startswith(f"at character {vector['error_at']}: ")


@pytest.mark.parametrize("vector", MOTO, ids=lambda vector: vector["id"])
def test_moto_says_the_same_of_the_patterns_it_knows(vector: dict[str, Any]) -> None:
    other = EventMessageFilter(vector["pattern"])

    assert len(MOTO) >= 5
    assert [message for message in vector["matches"] if not other.matches(message)] == []
    assert [message for message in vector["others"] if other.matches(message)] == []
