"""Rules on metrics: which apply, in which order, and what each effect does."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.closing import PLAIN
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.samples import Dimensions, Kind, Sample
from sidecar.shape.rules import Rule, Rules
from sidecar.shape.series import Named, SeriesNaming
from tests.support.strategies import plain_names

POD: Final = (("env", "prod"), ("pod", "p1"))


def naming(
    *rules: Rule, dimensions: dict[str, str] | None = None, context: dict[str, str] | None = None
) -> SeriesNaming:
    compiled = Rules(rules, hostname="host-1", context=context)
    return SeriesNaming(namespace="N", dimensions=dimensions or {}, resolution=60, rules=compiled)


def named(sample: Sample | str, *rules: Rule, dimensions: Dimensions = (), **context: str) -> Named:
    if isinstance(sample, str):
        sample = Sample(sample, Kind.TIMER, (1.0,), (1.0,), dimensions=dimensions)
    return naming(*rules, context=context).name(sample)


# --- which apply --------------------------------------------------------------------------------------


def test_every_rule_that_matches_applies_and_of_two_that_set_the_same_the_later_wins() -> None:
    rules = (Rule("api.*", unit="Seconds", percentiles=False), Rule("api.slow", unit="Bytes"), Rule("*", resolution=1))
    one, other = named("api.slow", *rules), named("Api.x", *rules)

    assert (one.series.unit, one.series.resolution, one.percentiles) == ("Bytes", 1, False)
    assert (other.series.unit, other.series.resolution, other.percentiles) == ("Milliseconds", 1, None)


def test_no_rule_applies_after_one_with_stop() -> None:
    rules = (Rule("a*", unit="Bytes", stop=True), Rule("*", unit="Seconds"))

    assert named("ab", *rules).series.unit == "Bytes"
    assert named("b", *rules).series.unit == "Seconds"


def test_a_rule_may_match_one_of_several_patterns() -> None:
    rule = Rule(("Latency", "Error*"), unit="Bytes")

    assert [named(name, rule).series.unit for name in ("Latency", "ErrorCount", "Other")] == [
        "Bytes",
        "Bytes",
        "Milliseconds",
    ]


def test_a_rule_is_matched_by_the_name_as_it_was_sent_whatever_became_of_it() -> None:
    rules = (Rule("a", name="b"), Rule("b", unit="Bytes"), Rule("a", unit="Seconds"))

    assert named("a", *rules).series == ("N", "b", (), "Seconds", 60)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"env": ("prod",)}, True),
        ({"env": ("dev", "pr*")}, True),
        ({"env": ("dev",)}, False),
        ({"env": ("prod",), "pod": ("p?",)}, True),
        ({"env": ("prod",), "pod": ("q*",)}, False),
        ({"Region": ("eu-*",)}, True),  # configured
        ({"missing": ("*",)}, False),
        ({"env": ("{prod}",)}, False),
    ],
)
def test_all_conditions_must_hold_on_the_dimensions_as_they_were_sent(
    when: dict[str, tuple[str, ...]], *, holds: bool
) -> None:
    rules = (Rule("*", drop_dimensions=("*",)), Rule("*", when=when, unit="Bytes"))
    one = naming(*rules, dimensions={"Region": "eu-central-1"}).name(
        Sample("a", Kind.TIMER, (1.0,), (1.0,), dimensions=POD)
    )

    assert (one.series.unit == "Bytes") is holds


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ('{ $.env = "prod*" && $.pod NOT EXISTS }', False),
        ('{ $.env = "pr*" && $.user NOT EXISTS }', True),
        ('{ $.Region = "eu-*" && ($.pod = p1 || $.pod = p2) }', True),
        ("{ $.shard >= 7 }", True),
        ("{ $.shard >= 8 }", False),
        ('{ $.input = "mine" }', True),  # the dimension of that name
        ('{ $.input = "statsd" }', False),
    ],
)
def test_a_filter_pattern_is_over_the_dimensions_as_they_were_sent(when: str, *, holds: bool) -> None:
    rules = (Rule("*", drop_dimensions=("*",)), Rule("*", when=when, unit="Bytes"))
    dimensions = (*POD, ("input", "mine"), ("shard", "7"))
    one = naming(*rules, dimensions={"Region": "eu-central-1"}).name(
        Sample("a", Kind.TIMER, (1.0,), (1.0,), dimensions=dimensions), "statsd"
    )

    assert (one.series.unit == "Bytes") is holds


def test_a_condition_on_the_input_is_decided_for_each_input() -> None:
    one = naming(
        Rule("*", when={"input": ("statsd", "json*"), "env": ("prod",)}, unit="Bytes"),
        Rule("*", when={"input": ("logs",)}, drop=True),
    )
    sample = Sample("a", Kind.TIMER, (1.0,), (1.0,), dimensions=POD)
    found = {name: one.name(sample, name) for name in ("statsd", "http", "json_udp", "", "logs", "statsd")}

    assert {name: (made.series.unit, made.drop) for name, made in found.items()} == {
        "statsd": ("Bytes", False),
        "json_udp": ("Bytes", False),
        "http": ("Milliseconds", False),
        "": ("Milliseconds", False),
        "logs": ("Milliseconds", True),
    }


def test_without_conditions_on_the_input_a_series_is_named_once_for_all_inputs() -> None:
    one = naming(Rule("*", unit="Bytes"))
    sample = Sample("a", Kind.TIMER, (1.0,), (1.0,), dimensions=POD)

    assert one.name(sample, "statsd") is one.name(sample, "http")


def test_a_rule_says_how_a_signed_gauge_is_read_and_else_leaves_it_to_the_default() -> None:
    rules = Rules([Rule("cactus.*", signed_gauges="delta"), Rule("level.*", unit="Bytes"), Rule("cactus.b", stop=True)])

    assert rules.signed_gauges("cactus.open") == "delta"
    assert rules.signed_gauges("level.x") is None
    assert naming(Rule("x", signed_gauges="value")).signed_gauges("x", "auto") == "value"
    assert naming(Rule("x", signed_gauges="value")).signed_gauges("y", "auto") == "auto"


def test_without_a_match_nothing_is_decided() -> None:
    assert Rules([Rule("a?c")]).decide("abbc", {}) is None
    assert Rules([]).decide("a", {}) is None


def test_a_glob_with_many_stars_does_not_run_away() -> None:
    assert Rules([Rule("*a" * 40 + "*b")]).decide("a" * 250, {}) is None


# --- names and numbers --------------------------------------------------------------------------------


def test_a_rule_fills_in_unit_and_resolution_and_the_samples_own_win() -> None:
    rule = Rule("wait", unit="Microseconds", resolution=1)
    series = named("wait", rule).series
    own = named(Sample("wait", Kind.TIMER, (1.0,), (1.0,), unit="Seconds", resolution=60), rule).series

    assert (series.unit, series.resolution) == ("Microseconds", 1)
    assert (own.unit, own.resolution) == ("Seconds", 60)


def test_where_a_rule_scales_its_unit_is_that_of_the_scaled_values() -> None:
    one = named(Sample("wait", Kind.TIMER, unit="Seconds"), Rule("wait", unit="Milliseconds", scale=1_000.0))

    assert (one.series.unit, one.closing.scale) == ("Milliseconds", 1_000.0)


def test_a_hole_stands_for_one_part_of_the_name() -> None:
    rule = Rule(
        "job.{kind}.{name}.duration", name="JobDuration", dimensions={"Kind": "{kind}", "Job": "nightly-{name}"}
    )

    assert named("job.batch.import.duration", rule).series[1:3] == (
        "JobDuration",
        (("Job", "nightly-import"), ("Kind", "batch")),
    )
    assert named("job.batch.a.b.duration", rule).series.name == "job.batch.a.b.duration"


def test_placeholders_are_holes_then_dimensions_then_variables_and_else_unknown() -> None:
    rule = Rule("a.{x}", dimensions={"D": "{x}-{env}-{TEAM}-{hostname}"}, namespace="Shop/{TEAM}")
    one = named("a.1", rule, dimensions=POD, TEAM="blue", env="no")
    without = named("a.1", rule, dimensions=POD)

    assert dict(one.series.dimensions)["D"] == "1-prod-blue-host-1"
    assert (one.series.namespace, one.unknown) == ("Shop/blue", False)
    assert (without.series.namespace, without.unknown) == ("Shop/unknown", True)


def test_what_a_rule_makes_of_names_is_held_to_the_rules_of_cloudwatch() -> None:
    with pytest.raises(DecodeError) as error:
        named("a", Rule("*", name="{long}"), dimensions=(("long", "x" * 256),))

    assert error.value.reason is Reason.NAME_TOO_LONG


# --- dimensions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"keep_dimensions": ("env", "x*")}, {"env": "prod"}),
        ({"keep_dimensions": ()}, {}),
        ({"drop_dimensions": ("p*",)}, {"env": "prod"}),
        ({"rename_dimensions": {"env": "Environment"}}, {"Environment": "prod", "pod": "p1"}),
        ({"rename_dimensions": {"env": "pod"}}, {"pod": "prod"}),
        ({"dimensions": {"env": "dev", "Team": "blue"}}, {"env": "dev", "pod": "p1", "Team": "blue"}),
        (
            {"drop_dimensions": ("pod",), "rename_dimensions": {"env": "E"}, "dimensions": {"Was": "{env}/{pod}"}},
            {"E": "prod", "Was": "prod/p1"},
        ),
    ],
)
def test_dimensions_are_removed_then_renamed_then_added(rule: dict[str, Any], expected: dict[str, str]) -> None:
    assert dict(named("a", Rule("*", **rule), dimensions=POD).series.dimensions) == expected


def test_a_rule_changes_the_dimensions_that_earlier_rules_left() -> None:
    rules = (Rule("*", rename_dimensions={"env": "Environment"}), Rule("*", keep_dimensions=("Environment",)))

    assert named("a", *rules, dimensions=POD).series.dimensions == (("Environment", "prod"),)


def test_configured_dimensions_are_dimensions_like_others() -> None:
    one = naming(Rule("*", drop_dimensions=("Region",)), dimensions={"Region": "eu", "Zone": "b"})

    assert one.name(Sample("a", Kind.COUNTER)).series.dimensions == (("Zone", "b"),)


def test_a_metric_with_too_many_dimensions_is_saved_by_a_rule_that_drops_some() -> None:
    many = tuple((f"tag{number:02}", "x") for number in range(40))

    assert len(named("a", Rule("*", drop_dimensions=("tag3?",)), dimensions=many).series.dimensions) == 30
    with pytest.raises(DecodeError):
        named("a", dimensions=many)


def test_a_dimension_with_a_wrong_value_is_no_error_where_a_rule_drops_it() -> None:
    assert named("a", Rule("*", drop_dimensions=("bad",)), dimensions=(("bad", "é"),)).series.dimensions == ()


def test_a_name_a_rule_has_changed_is_not_repaired() -> None:
    rules = Rules([Rule("a", name="b", dimensions={"X": "y"}, drop_dimensions=("pod",))])
    one = SeriesNaming(namespace="N", dimensions={}, resolution=60, replace_invalid="_", rules=rules)

    assert not one.name(Sample("a", Kind.COUNTER, dimensions=POD)).repaired
    assert one.name(Sample("a", Kind.COUNTER, dimensions=(("env", "é"),))).repaired


# --- counts -------------------------------------------------------------------------------------------


def test_a_rule_that_never_applied_is_known() -> None:
    rules = Rules([Rule("a*", unit="Bytes"), Rule("b", unit="Bytes"), Rule("*", when={"x": ("y",)}, unit="Bytes")])
    rules.decide("ab", {})

    assert [hits.decided for _, hits in rules.hits()] == [True, False, False]


def test_a_dropped_sample_has_the_rules_that_dropped_it() -> None:
    one = named("debug.x", Rule("*", unit="Bytes"), Rule("debug.*", drop=True))

    assert one.drop
    assert len(one.closing.hits) == 2


@given(
    st.lists(plain_names, min_size=1, max_size=5),
    st.lists(
        st.builds(
            Rule,
            match=st.sampled_from(["*", "a*", "*b*", "?*", "{x}", "*.{x}"]),
            unit=st.sampled_from([None, "Bytes"]),
            keep_dimensions=st.sampled_from([None, ("e*",), ()]),
            rename_dimensions=st.sampled_from([None, {"env": "pod"}]),
            stop=st.booleans(),
        ),
        max_size=5,
    ),
)
def test_the_cache_changes_nothing(sent: list[str], rules: list[Rule]) -> None:
    """What becomes of a metric does not depend on those before it."""
    together = naming(*rules)
    for name in sent * 2:
        sample = Sample(name, Kind.TIMER, (1.0,), (1.0,), dimensions=POD)

        assert together.name(sample)._replace(closing=PLAIN) == naming(*rules).name(sample)._replace(closing=PLAIN)
