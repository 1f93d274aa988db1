"""`sidecar send`: one event from the shell to a running daemon, over HTTP."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

import click
import orjson

from sidecar.commands.output import complain
from sidecar.commands.parameters import finite

TIMEOUT_SECONDS: Final = 5.0  # to connect, and for each part of the answer
MAX_ANSWER_BYTES: Final = 65_536


@click.group()
def send() -> None:
    """Send one event from the shell to a running daemon."""


_URL = click.option("--url", default="http://localhost:8127", show_default=True, help="The daemon's HTTP listener.")


def _name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    # Unknown options are passed as arguments, so that VALUE may be -5.
    if name.startswith("-"):
        raise click.NoSuchOption(name)
    return name


@send.command("metric", context_settings={"ignore_unknown_options": True})
@click.argument("name", callback=_name)
@click.argument("value", type=float, callback=finite)
@click.option("--unit", help="A CloudWatch unit, such as Milliseconds.")
@click.option("--type", "type_", help="counter, gauge, timer, histogram or distribution.")
@click.option("--namespace")
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@_URL
def send_metric(
    name: str,
    value: float,
    unit: str | None,
    type_: str | None,
    namespace: str | None,
    dimensions: tuple[str, ...],
    url: str,
) -> None:
    """Send the metric NAME with VALUE."""
    event = {
        "name": name,
        "value": value,
        "unit": unit,
        "type": type_,
        "namespace": namespace,
        "dimensions": _pairs(dimensions, "--dimension"),
    }
    _post(url, "/ingest/metrics", {key: part for key, part in event.items() if part not in (None, "", {})})


@send.command("log")
@click.argument("message")
@click.option("-f", "--field", "fields", multiple=True, metavar="NAME=VALUE")
@click.option("--group", help="Log group, in place of the configured one.")
@click.option("--stream", help="Log stream, in place of the configured one.")
@_URL
def send_log(message: str, fields: tuple[str, ...], group: str | None, stream: str | None, url: str) -> None:
    """Send MESSAGE as a log event."""
    event: dict[str, Any] = {"message": message, **_pairs(fields, "--field")}
    if group:
        event["log_group"] = group
    if stream:
        event["log_stream"] = stream
    _post(url, "/ingest/logs", event)


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _post(url: str, path: str, event: dict[str, Any]) -> None:
    """Post one event and print the answer; exit 1 if it was not accepted.

    No proxy of the environment is used: the daemon is on this machine.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise click.BadParameter(f"{url!r} is not a URL: {error}", param_hint="--url") from None
    if parts.scheme not in ("http", "https") or not host:
        raise click.BadParameter(f"{url!r} is not http://HOST or https://HOST", param_hint="--url")
    try:
        body = orjson.dumps(event)
    except TypeError as error:
        raise click.UsageError(f"The event cannot be sent as JSON: {error}.") from None
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(kind(host, port, timeout=TIMEOUT_SECONDS)) as connection:
            connection.request("POST", parts.path.rstrip("/") + path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(MAX_ANSWER_BYTES).decode(errors="replace")
    except (InvalidURL, ValueError) as error:  # a host or path that cannot be put on the wire
        raise click.BadParameter(f"{url!r} cannot be used: {error}", param_hint="--url") from None
    except (OSError, HTTPException) as error:
        complain(f"{url} does not answer: {error or type(error).__name__}")
        sys.exit(1)
    if answer.status not in range(200, 300):
        complain(text or f"{url} answers {answer.status} {answer.reason}")
        sys.exit(1)
    click.echo(text)
