"""Saved queries of CloudWatch Logs Insights, over the groups that the sidecar writes to."""

from __future__ import annotations

from typing import Final

from sidecar.config.watch import Query
from sidecar.generate import insights
from sidecar.generate.checked import Checked
from sidecar.generate.groups import known_groups, patterns
from sidecar.generate.values import Resource

MAX_GROUPS: Final = 50  # of one query; StartQuery


def queries(checked: Checked) -> list[Resource]:
    """Every query of `watch.queries`; a problem is noted for each that Insights would refuse."""
    return [made for one in checked.config.watch.queries if (made := _query(checked, one)) is not None]


def groups_of(checked: Checked, query: Query) -> list[str]:
    """The groups of a query: its own, else all that are known; a problem is noted where there are none, or too many."""
    known = query.groups or known_groups(checked.config)
    path = f"watch.queries ({query.name})"
    if not known:
        checked.problem(
            f"{path}: the names of its log groups are not known, only {', '.join(patterns(checked.config))}: give"
            " groups, or the values of the placeholders in watch.values"
        )
    if len(known) > MAX_GROUPS:
        checked.problem(f"{path}: {len(known)} log groups, a query takes at most {MAX_GROUPS}: give groups")
    return known


def text_of(query: Query) -> str:
    """The query as it was written, without blanks around it and at the ends of its lines."""
    return "\n".join(line.rstrip() for line in query.query.strip().splitlines())


def _query(checked: Checked, one: Query) -> Resource | None:
    problem = insights.problem(one.query)
    if problem is not None:
        checked.problem(f"watch.queries ({one.name}): {problem}")
        return None
    properties = {
        "Name": f"{checked.prefix}/{one.name}",
        "LogGroupNames": groups_of(checked, one),
        "QueryString": text_of(one),
    }
    return Resource("query", one.name, properties)
