"""Rules by metric name."""

from __future__ import annotations

from sidecar.model.samples import Kind, Sample
from sidecar.shape.rules import NO_RULE, Rule, Rules
from sidecar.shape.series import SeriesNaming


def shaper(*rules: Rule) -> SeriesNaming:
    return SeriesNaming(namespace="N", dimensions={}, resolution=60, rules=Rules(rules))


def test_the_first_rule_that_matches_applies() -> None:
    rules = Rules([Rule("api.*", unit="Seconds"), Rule("api.slow", unit="Bytes"), Rule("*", resolution=1)])

    assert rules.find("api.slow").unit == "Seconds"
    assert rules.find("other") == Rule("*", resolution=1)
    assert rules.find("Api.x").unit is None


def test_a_rule_says_how_a_signed_gauge_is_read_and_else_leaves_it_to_the_default() -> None:
    rules = Rules([Rule("cactus.*", signed_gauges="delta"), Rule("level.*", unit="Bytes")])

    assert rules.find("cactus.open").signed_gauges == "delta"
    assert rules.find("level.x").signed_gauges is None
    assert rules.find("other").signed_gauges is None


def test_without_a_match_nothing_is_said() -> None:
    assert Rules([Rule("a?c")]).find("abbc") is NO_RULE


def test_a_rule_fills_in_unit_and_resolution_and_the_samples_own_win() -> None:
    one = shaper(Rule("wait", unit="Microseconds", resolution=1))
    series = one.series(Sample("wait", Kind.TIMER, (1.0,), (1.0,)))
    own = one.series(Sample("wait", Kind.TIMER, (1.0,), (1.0,), unit="Seconds", resolution=60))

    assert (series.unit, series.resolution) == ("Microseconds", 1)
    assert (own.unit, own.resolution) == ("Seconds", 60)


def test_percentiles_follow_the_rule_and_else_the_default() -> None:
    one = shaper(Rule("cheap.*", percentiles=False))

    assert one.percentiles(Sample("cheap.x", Kind.TIMER), default=True) is False
    assert one.percentiles(Sample("dear.x", Kind.TIMER), default=True) is True
    assert one.percentiles(Sample("dear.x", Kind.TIMER), default=False) is False


def test_a_glob_with_many_stars_does_not_run_away() -> None:
    rules = Rules([Rule("*a" * 40 + "*b")])

    assert rules.find("a" * 250) is NO_RULE
