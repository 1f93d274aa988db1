"""Groups, streams and retention asked for: noted once, and bounded."""

from __future__ import annotations

from sidecar.model.log_groups import MOST_GROUPS, MOST_STREAMS, GroupSettings, LogGroups


def test_what_is_known_is_not_created_again() -> None:
    groups = LogGroups()
    assert groups.create("g", 1)
    assert not groups.create("g", 2)
    assert groups.create_stream("g", "s", 3)
    assert not groups.create_stream("g", "s", 4)
    assert [(one.name, one.created_ms) for one in groups.groups()] == [("g", 1)]
    assert groups.streams("g") == {"s": 3}


def test_a_stream_or_a_retention_brings_its_group() -> None:
    groups = LogGroups()
    assert groups.create_stream("a", "s", 1)
    groups.retain("b", 7, 2)
    groups.retain("b", 30, 3)
    assert [one.name for one in groups.groups()] == ["a", "b"]
    assert (groups.retention_days("a"), groups.retention_days("b"), groups.retention_days("c")) == (None, 30, None)
    assert groups.streams("c") == {}


def test_the_oldest_is_forgotten_where_there_are_too_many() -> None:
    groups = LogGroups()
    for number in range(MOST_GROUPS + 10):
        groups.create_stream(f"g{number}", "s", number)
    assert len(groups.groups()) == MOST_GROUPS
    assert groups.groups()[0].name == "g10"
    for number in range(MOST_STREAMS + 5):
        groups.create_stream("one", f"s{number}", number)
    assert sum(len(one.streams) for one in groups.groups()) == MOST_STREAMS
    assert list(groups.streams("one"))[-1] == f"s{MOST_STREAMS + 4}"
    assert groups.create_stream("one", "s0", 0)  # it had been forgotten


def test_what_routes_say_of_groups_is_replaced_and_bounded() -> None:
    groups = LogGroups()
    for number in range(MOST_GROUPS + 1):
        groups.configure(f"g{number}", GroupSettings(7, None))
    groups.configure("g5", GroupSettings(30, "STANDARD"))

    assert groups.settings("g0") is None
    assert groups.settings("g1") == GroupSettings(7, None)
    assert groups.settings("g5") == GroupSettings(30, "STANDARD")
    assert groups.groups() == [], "no sender asked for them"
