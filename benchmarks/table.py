"""The table: what was measured, its figure, its ratio to the bare reference, and what goes with it."""

from __future__ import annotations

import json
from dataclasses import dataclass

_HEADINGS = ("measurement", "figure", "of bare", "details")


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: the measurement.
        figure: with its unit.
        ratio: to the bare reference; None where there is none.
        details: what else belongs to it.
        number: the figure as a number, for those who compare.
        per_cpu_second: the same by CPU time, which other work on the machine shakes less.
    """

    what: str
    figure: str
    ratio: float | None = None
    details: str = ""
    number: float | None = None
    per_cpu_second: float | None = None


@dataclass(frozen=True)
class Section:
    """Rows that belong together."""

    title: str
    rows: list[Row]


def render(sections: list[Section]) -> str:
    """The table as text, columns aligned, sections apart."""
    rows = [row for section in sections for row in section.rows]
    wide = [len(heading) for heading in _HEADINGS]
    for row in rows:
        wide = [max(width, len(cell)) for width, cell in zip(wide, _cells(row), strict=True)]
    lines = [_line(_HEADINGS, wide)]
    for section in sections:
        lines += ["", f"-- {section.title} ".ljust(sum(wide[:3]) + 6, "-")]
        lines += [_line(_cells(row), wide) for row in section.rows]
    return "\n".join(lines)


def as_json(sections: list[Section]) -> str:
    """The numbers of the table, for a program: a list of section, measurement and number."""
    return json.dumps(
        [
            [section.title, what, number]
            for section in sections
            for row in section.rows
            for what, number in ((row.what, row.number), (f"{row.what}, per CPU second", row.per_cpu_second))
            if number is not None
        ]
    )


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.what, row.figure, "" if row.ratio is None else f"{row.ratio:.2f}", row.details


def _line(cells: tuple[str, str, str, str], wide: list[int]) -> str:
    what, figure, ratio, details = cells
    return f"{what:<{wide[0]}}  {figure:>{wide[1]}}  {ratio:>{wide[2]}}  {details}".rstrip()


def megabytes(size_bytes: float) -> str:
    """A size as people write it; less than one in thousandths."""
    return f"{size_bytes / 1e6:.0f} MB" if abs(size_bytes) >= 1e6 else f"{size_bytes / 1e3:.0f} kB"
