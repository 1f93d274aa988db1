"""PromQL against the table of figures: names, labels, values of labels, and which functions a kind takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import promql_parser

from sidecar.model.errors import Reason
from sidecar.observe.figure import Figure
from sidecar.observe.figures import FIGURES

OF_TARGETS: Final = {"instance", "job"}
VALUES: Final = {
    "reason": {reason.value for reason in Reason},
    "signal": {"metrics", "logs"},
    "outcome": {"applied", "unchanged", "refused"},
}
OF_COUNTERS: Final = {"rate", "irate", "increase"}


def series() -> dict[str, Figure]:
    """{name of a series in Prometheus: its figure}; a histogram has three."""
    found: dict[str, Figure] = {}
    for figure in FIGURES:
        suffixes = ("_bucket", "_sum", "_count") if figure.kind == "histogram" else ("",)
        found |= {f"{figure.name}{suffix}": figure for suffix in suffixes}
    return found


def nodes(expression: str) -> list[Any]:
    """Every node of an expression.

    Raises:
        ValueError: it is no PromQL, or a function is given another type than it takes.
    """
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def named(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    return {str(node.name) for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)}


def labels_of(expression: str) -> set[str]:
    """The labels that its series have."""
    known = series()
    return {label for name in named(expression) if name in known for label in known[name].labels}


def problems(expression: str) -> Iterator[str]:
    """Yield what in an expression the sidecar does not expose, a sentence each."""
    known = series()
    every = nodes(expression)
    for node in every:
        if isinstance(node, promql_parser.VectorSelector):
            yield from _selector_problems(node, known)
        elif isinstance(node, promql_parser.Call) and isinstance(node.args[0], promql_parser.MatrixSelector):
            name = node.args[0].vector_selector.name
            if name in known and (known[name].kind == "gauge") == (node.func.name in OF_COUNTERS):
                yield f"{node.func.name}() of {name}, a {known[name].kind}"
    have = labels_of(expression) | OF_TARGETS | {"le"}
    for label in _grouped(every):
        if label not in have:
            yield f"no series has the label {label}"


def _selector_problems(node: Any, known: dict[str, Figure]) -> Iterator[str]:
    if node.name not in known:
        yield f"no figure {node.name}"
        return
    labels = set(known[node.name].labels)
    for matcher in node.matchers.matchers:
        if matcher.name not in labels | OF_TARGETS:
            yield f"{node.name} has no label {matcher.name}"
        for value in matcher.value.split("|") if matcher.name in VALUES else ():
            if value not in VALUES[matcher.name]:
                yield f"{matcher.name} is never {value}"


def _grouped(every: list[Any]) -> Iterator[str]:
    """The labels of `by`, `without`, `on` and `ignoring`."""
    for node in every:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            yield from node.modifier.labels
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            yield from node.modifier.matching.labels
