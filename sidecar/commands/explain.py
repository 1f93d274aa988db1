"""`sidecar explain`: what becomes of an event, stage by stage, with the rule that applies, its file and its line."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import click
import orjson

from sidecar.commands.expectations import Expectation, read_expectations
from sidecar.commands.parameters import CONFIG
from sidecar.config.load import load, rule_lines
from sidecar.config.problems import printable
from sidecar.config.schema import Config
from sidecar.inputs import emf_decoder
from sidecar.model.limits import LOG_MESSAGE_BYTES
from sidecar.pipeline.explaining import Explainer, Explanation
from sidecar.pipeline.shaping import make_shape
from sidecar.runtime.clock import SystemClock

STAGE_CHARACTERS: Final = 9  # the longest stage's name


@click.command()
@click.argument("event", required=False)
@click.option("--log", "log_event", metavar="EVENT", help="Explain a log event: what POST /ingest/logs takes.")
@click.option("--file", "events", type=click.File("rb"), help="Explain each line of a file; - is standard input.")
@click.option(
    "--expect", "expected", type=click.File("rb"), help="Check lines `EVENT -> OUTCOME`: exit 1 if one differs."
)
@click.option("--logs", is_flag=True, help="With --file and --expect: the events are log events.")
@click.option(
    "--input",
    "input_",
    metavar="LABEL",
    help="The input of the event, for conditions on it: statsd, json_udp, http, emf or aws; by default that of UDP.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
@CONFIG
def explain(
    event: str | None,
    log_event: str | None,
    events: IO[bytes] | None,
    expected: IO[bytes] | None,
    logs: bool,  # noqa: FBT001  # a flag of the command line
    input_: str | None,
    as_json: bool,  # noqa: FBT001
    path: Path | None,
) -> None:
    """Print what becomes of EVENT, a StatsD line or JSON, under a configuration; nothing is sent."""
    if sum(one is not None for one in (event, log_event, events, expected)) != 1:
        raise click.UsageError("Give one of EVENT, --log, --file and --expect.")
    if logs and events is None and expected is None:
        raise click.UsageError("--logs belongs to --file and --expect; a single log event is given by --log.")
    config = load(path, os.environ)
    explainer = _explainer(config)
    if expected is not None:
        sys.exit(_check(explainer, read_expectations(expected), log=logs, input_=input_))
    places = _Places(path, config)
    given = [(event or log_event or "").encode("utf-8", "surrogateescape")] if events is None else _lines(events)
    for one in given:
        explanation = explainer.explain(one, log=logs or log_event is not None, input_=input_)
        click.echo(_json(one, explanation, places) if as_json else _text(one, explanation, places))


def _explainer(config: Config) -> Explainer:
    shape = make_shape(config, socket.gethostname(), os.environ)
    return Explainer(config, shape, emf=emf_decoder(config).decode_item, clock=SystemClock())


class _Places:
    """Where rules are in the configuration file."""

    def __init__(self, path: Path | None, config: Config) -> None:
        self._file = "" if path is None else printable(path.name)
        self._lines = rule_lines(path, os.environ, config)

    def line(self, rule: str) -> int | None:
        """The line of a rule, by its path; None where it is not from the file."""
        return self._lines.get(rule)

    def named(self, rule: str) -> str:
        """The path of a rule, with file and line."""
        line = self.line(rule)
        return rule if line is None else f"{rule} ({self._file}:{line})"


def _lines(events: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file that are not blank.

    Raises:
        click.ClickException: one is longer than any event may be.
    """
    number = 0
    while line := events.readline(LOG_MESSAGE_BYTES + 1):
        number += 1
        if len(line) > LOG_MESSAGE_BYTES:
            raise click.ClickException(f"line {number} is longer than {LOG_MESSAGE_BYTES} bytes")
        if not line.isspace():
            yield line.rstrip(b"\r\n")


def _text(event: bytes, explanation: Explanation, places: _Places) -> str:
    lines = [printable(event.decode("utf-8", "replace"))]
    for stage, text, rule in explanation.steps:
        by = f"{places.named(rule)}: " if rule else ""
        lines.append(f"  {stage:<{STAGE_CHARACTERS}}  {by}{printable(text)}")
    lines += [f"  {'-> ':>{STAGE_CHARACTERS + 3}}{printable(outcome)}" for outcome in explanation.outcomes]
    return "\n".join(lines)


def _json(event: bytes, explanation: Explanation, places: _Places) -> str:
    steps: list[dict[str, Any]] = []
    for stage, text, rule in explanation.steps:
        by = {"rule": rule, "line": places.line(rule)} if rule else {}
        steps.append({"stage": stage, **by, "text": text})
    return orjson.dumps(
        {
            "event": event.decode("utf-8", "replace"),
            "steps": steps,
            "outcomes": explanation.outcomes,
            "series": explanation.series,
        }
    ).decode()


def _check(explainer: Explainer, expectations: list[Expectation], *, log: bool, input_: str | None) -> int:
    """Print each expectation that is not met; returns the exit status."""
    failed = 0
    for one in expectations:
        outcomes = explainer.explain(one.event, log=log, input_=input_).outcomes
        if outcomes == one.outcomes:
            continue
        failed += 1
        click.echo(f"line {one.line}: {printable(one.event.decode('utf-8', 'replace'))}")
        for sign, listed in (("expected", one.outcomes), ("got", outcomes)):
            for outcome in listed or ["nothing"]:
                click.echo(f"  {sign:<8} -> {printable(outcome)}")
    click.echo(f"{len(expectations) - failed} of {len(expectations)} events have the expected outcomes")
    return 1 if failed else 0
