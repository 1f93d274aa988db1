"""Values of dimensions rewritten by patterns."""

from __future__ import annotations

import time

import pytest

from sidecar.shape.rewrite import CACHED_VALUES, Rewriting, Step

PATH = Rewriting([Step(r"[?#].*", ""), Step(r"/[0-9]+\b", "/:id")])
ERROR = Rewriting(
    [Step("(?i)timeout", value="Timeout"), Step("refused", value="Connection"), Step(".*", value="Other")]
)


@pytest.mark.parametrize(
    ("value", "rewritten"),
    [
        ("/a/1/b/22", "/a/:id/b/:id"),
        ("/a/1?next=/b/2", "/a/:id"),
        ("/a", "/a"),
        ("/1a", "/1a"),
        ("?a=1", "unknown"),
        ("/é/1", "/é/:id"),
        ("/\ud800/1", "/\ud800/:id"),
    ],
)
def test_every_match_of_every_pattern_is_replaced_in_their_order(value: str, rewritten: str) -> None:
    assert PATH.apply(value) == PATH.apply(value) == rewritten


@pytest.mark.parametrize(
    ("value", "rewritten"),
    [("refused: TimeOut", "Timeout"), ("connection refused", "Connection"), ("nil", "Other"), ("unknown", "Other")],
)
def test_the_first_pattern_with_a_value_decides_the_whole_value(value: str, rewritten: str) -> None:
    assert ERROR.apply(value) == rewritten


def test_a_replacement_is_literal() -> None:
    assert Rewriting([Step("(b+)", r"\1$1")]).apply("abbc") == r"a\1$1c"


def test_what_is_behind_4096_characters_is_not_read() -> None:
    assert ERROR.apply("x" * 4_096 + "timeout") == "Other"
    assert ERROR.apply("x" * 4_089 + "timeout") == "Timeout"


def test_hostile_patterns_take_linear_time_and_values_bounded_memory() -> None:
    one = Rewriting([Step("(a+)+$", value="x")] * 10)
    began = time.process_time()
    for n in range(2 * CACHED_VALUES):
        one.apply(f"{'a' * 28}{n}")

    assert time.process_time() - began < 10
    assert len(one._cache) <= CACHED_VALUES


def test_what_steps_make_of_a_value_does_not_grow() -> None:
    """Three steps with replacements of 1,000 characters would make terabytes of a value of 4,096."""
    steps = [Step("a", "é" + "a" * 999)] * 3

    assert len(Rewriting(steps).apply("a" * 4_096)) == 4_096


def test_a_step_replaces_a_hundred_matches() -> None:
    """A hundred steps that each replace 4,096 characters would take a second on the event loop."""
    assert Rewriting([Step("a", "b")]).apply("a" * 101) == "b" * 100 + "a"
    assert Rewriting([Step("a", "b")] * 2).apply("a" * 150) == "b" * 150
