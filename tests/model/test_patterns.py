"""Patterns: what they match, what their holes are, and that matching takes linear time."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.patterns import Pattern, Patterns, overlap


@given(st.text("ab.*?", min_size=1, max_size=12), st.text("ab.", max_size=12))
def test_a_glob_matches_as_the_standard_library_says(pattern: str, text: str) -> None:
    assert (Pattern(pattern).match(text) is not None) is fnmatchcase(text, pattern)


@given(st.lists(st.sampled_from(["*", "?", "[ab]", "[!a]", "a", ".", "b"]), min_size=1, max_size=6), st.text("ab."))
def test_a_glob_with_sets_matches_as_the_standard_library_says(steps: list[str], text: str) -> None:
    pattern = "".join(steps)

    assert (Pattern(pattern).match(text) is not None) is fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "holes"),
    [
        ("job.{kind}.{name}.duration", "job.batch.import.duration", {"kind": "batch", "name": "import"}),
        ("{a}", "x", {"a": "x"}),
        ("{a}", "x.y", None),
        ("a.{b}.c", "a..c", None),
        ("*.{last}", "a.b.c", {"last": "c"}),
        ("{first}.*", "a.b.c", {"first": "a"}),
        ("*.x.{b}.y.*", "q.x.x.1.y.z", {"b": "1"}),
        ("*.x.{b}.y.*", "q.x.1.y.z", {"b": "1"}),
        ("*.x.{b}.y.*", "q.x.1.n.x.2.y.z", {"b": "2"}),
        ("a[{]b", "a{b", {}),
        ("a\nb*", "a\nb\n", {}),
    ],
)
def test_a_hole_is_one_whole_part(pattern: str, text: str, holes: dict[str, str] | None) -> None:
    assert Pattern(pattern).match(text) == holes


@given(
    st.lists(st.sampled_from(["*", "{h}", "a", "b", "?"]), min_size=1, max_size=6).filter(lambda s: s.count("{h}") < 2),
    st.lists(st.text("ab", max_size=2), min_size=1, max_size=7),
)
def test_matching_for_good_where_a_part_first_fits_loses_no_match(steps: list[str], parts: list[str]) -> None:
    """A slow reference tries every place for every star."""
    pattern, text = ".".join(steps), ".".join(parts)

    assert (Pattern(pattern).match(text) is not None) is _matches(Pattern(pattern).tokens, text)


def _matches(tokens: tuple[tuple[str, str], ...], text: str) -> bool:
    if not tokens:
        return not text
    (kind, value), rest = tokens[0], tokens[1:]
    if kind == "star":
        return any(_matches(rest, text[at:]) for at in range(len(text) + 1))
    if kind == "hole":
        part = text.partition(".")[0]
        return bool(part) and _matches(rest, text[len(part) :])
    return bool(text) and (kind == "any" or text[0] == value) and _matches(rest, text[1:])


@pytest.mark.parametrize(
    "pattern",
    ["", "x" * 256, "a{b}", "{b}c.d", "*{b}", "{a}.{a}", "{1}", "{}", "{a", "a}", "{a b}"],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has) "):
        Pattern(pattern)


def test_without_holes_braces_are_characters() -> None:
    assert Pattern("{a}*", holes=False).match("{a}b") == {}


def test_the_worst_pattern_takes_little_time() -> None:
    """A pattern that a backtracking matcher would not finish; it has 20 times what it needs."""
    pattern, text = Pattern("*a?" * 84 + "b"), "a" * 255
    started = time.process_time()
    for _ in range(20):
        assert pattern.match(text) is None

    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("api.*", "*.slow", True),
        ("api.*", "web.*", False),
        ("a?c", "a[!b]c", True),
        ("a[b]c", "a[!b]c", False),
        ("{a}.x", "*.y", False),
        ("{a}.x", "q.*", True),
        ("{a}", "*.*", False),
        ("Latency", "Latency", True),
        ("*", "x", True),
    ],
)
def test_patterns_that_some_name_matches_both_of_overlap(one: str, other: str, *, both: bool) -> None:
    assert overlap(Pattern(one), Pattern(other)) is both
    assert overlap(Pattern(other), Pattern(one)) is both


@given(st.text("ab.*?", min_size=1, max_size=6), st.text("ab.*?", min_size=1, max_size=6), st.text("ab.", max_size=6))
def test_patterns_that_match_the_same_name_overlap(one: str, other: str, text: str) -> None:
    if Pattern(one).match(text) is not None and Pattern(other).match(text) is not None:
        assert overlap(Pattern(one), Pattern(other))


_STEPS = st.lists(st.sampled_from(["*", "?", "[ab]", "[!a]", "a", ".", "b", "|", "("]), min_size=1, max_size=6)


@given(st.lists(_STEPS.map("".join), max_size=6), st.text("ab.|(", max_size=8))
def test_several_patterns_match_where_one_of_them_does(patterns: list[str], text: str) -> None:
    compiled = [Pattern(one) for one in patterns]

    assert (Patterns(compiled).match(text) is not None) is any(one.match(text) is not None for one in compiled)


def test_the_holes_are_those_of_the_first_pattern_that_matches() -> None:
    patterns = Patterns([Pattern("a.{x}"), Pattern("{x}.b")])

    assert patterns.match("a.b") == {"x": "b"}
    assert patterns.match("c.b") == {"x": "c"}
    assert patterns.match("c.d") is None


def test_many_patterns_take_about_the_time_of_one() -> None:
    """A name that is new is looked up in every rule: 500 rules with 100 globs each would hold the event loop."""
    rules = [Patterns([Pattern(f"app{rule}.part{number}.*") for number in range(100)]) for rule in range(100)]
    begun = time.perf_counter()
    for number in range(100):
        assert all(one.match(f"other.name{number}") is None for one in rules)

    assert time.perf_counter() - begun < 0.1  # 10,000 patterns and 100 names take 0.6 s one by one
