"""Files of events and their outcomes, for `sidecar explain --expect`.

An event and its outcome are a line, `EVENT -> OUTCOME`; an event with several outcomes has its own line, followed by
one line for each outcome that begins with `->`. Blank lines, and lines that begin with `#`, are skipped.
"""

from __future__ import annotations

import json
from typing import IO, Final, NamedTuple

import click

MAX_BYTES: Final = 16 * 1_048_576
ARROW: Final = " -> "


class Expectation(NamedTuple):
    """One event.

    Attributes:
        line: of the file, from 1.
        event: as it would be sent.
        outcomes: that it should have, in their order.
    """

    line: int
    event: bytes
    outcomes: list[str]


def read_expectations(file: IO[bytes]) -> list[Expectation]:
    """The events of a file.

    Raises:
        click.ClickException: the file is too large or not UTF-8, an outcome has no event, or an event no outcome.
    """
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise click.ClickException(f"the file of expectations is longer than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"the file of expectations is not UTF-8, at byte {error.start}") from None
    found: list[Expectation] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith("->"):
            if not found:
                raise click.ClickException(f"line {number}: an outcome without an event before it")
            found[-1].outcomes.append(stripped[2:].strip())
            continue
        event, outcome = _split(line.rstrip("\r"))
        found.append(Expectation(number, event.strip().encode(), [] if outcome is None else [outcome.strip()]))
    for one in found:
        if not one.outcomes:
            raise click.ClickException(f"line {one.line}: an event without an outcome: add ` -> OUTCOME`")
    return found


def _split(line: str) -> tuple[str, str | None]:
    """The event and the outcome of a line; the outcome is None where it has none."""
    if line.lstrip()[:1] in ("{", "["):
        # A JSON event may have an arrow in it, and so may what is expected of it.
        start = len(line) - len(line.lstrip())
        try:
            _, end = json.JSONDecoder().raw_decode(line, start)
        except (ValueError, RecursionError):
            end = 0
        if line[end:].startswith(ARROW) or not line[end:].strip():
            return line[:end], line[end + len(ARROW) :] if line[end:].strip() else None
    event, arrow, outcome = line.partition(ARROW)
    return event, outcome if arrow else None
