"""The command line: argv to a command. Exit status: 0 done or stopped, 1 a bug or not alive, 2 unusable input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from sidecar import __version__
from sidecar.config import Config, dump, load, warnings
from sidecar.errors import ConfigError

_CONFIG = click.option(
    "--config",
    "path",
    envvar="SIDECAR_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file; SIDECAR_<SECTION>__<KEY> variables go over it.",
)


class _Commands(click.Group):
    """Commands; those that need much are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, those not imported included."""
        return sorted([*super().list_commands(ctx), "spool"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name == "spool":
            from sidecar.spool_cli import spool

            return spool
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="sidecar")
def cli() -> None:
    """Metric and log events in; CloudWatch statistic sets and log batches out."""


@cli.command()
@_CONFIG
def run(path: Path | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    config = _load(path)
    _require_threads()
    _start_logging(config)

    def daemon() -> int:
        from sidecar.app import run as run_app

        return run_app(config)

    _run_and_leave(daemon)


@cli.command()
@_CONFIG
def check(path: Path | None) -> None:
    """Validate the configuration and print it with every default filled in."""
    config = _load(path)
    for warning in warnings(config, os.environ):
        click.echo(f"warning: {warning}", err=True)
    click.echo(dump(config), nl=False)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def health(arguments: tuple[str, ...]) -> None:
    """Ask a running daemon whether it is alive: exit 0 or 1."""
    from sidecar.probe import main

    sys.exit(main(list(arguments)))


@cli.group()
def send() -> None:
    """Send one event from the shell to a running daemon."""


_URL = click.option("--url", default="http://localhost:8127", show_default=True, help="The daemon's HTTP listener.")


@send.command("metric")
@click.argument("name")
@click.argument("value", type=float)
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
    _post(f"{url}/ingest/metrics", {key: part for key, part in event.items() if part})


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
    _post(f"{url}/ingest/logs", event)


@cli.command()
@click.option("--seconds", default=16.0, show_default=True, help="How long the example application runs.")
def demo(seconds: float) -> None:
    """Run the daemon on the local target with an example application sending to it."""
    from sidecar.demo import run_demo

    _require_threads()
    _run_and_leave(lambda: run_demo(seconds))


def _require_threads() -> None:
    from sidecar.process import missing_threads

    problem = missing_threads()
    if problem is not None:
        click.echo(problem, err=True)
        sys.exit(2)


def _run_and_leave(daemon: Callable[[], int]) -> NoReturn:
    """Run a daemon and end the process with its status, whatever standard output and standard error do."""
    import structlog

    from sidecar.observe import log
    from sidecar.process import leave

    try:
        status = daemon()
    except ConfigError as error:
        # Through the console's thread: standard error may be a pipe that nobody reads.
        for problem in error.problems:
            log.write(f"configuration: {problem}\n")
        status = 2
    except Exception:  # noqa: BLE001  # the last guard: the traceback goes where the log goes
        structlog.get_logger().exception("a bug: exiting")
        status = 1
    log.close()
    leave(status)


def _load(path: Path | None) -> Config:
    try:
        return load(path, os.environ)
    except ConfigError as error:
        _exit_with(error)


def _exit_with(error: ConfigError) -> NoReturn:
    for problem in error.problems:
        click.echo(f"configuration: {problem}", err=True)
    sys.exit(2)


def _start_logging(config: Config) -> None:
    import structlog

    from sidecar.observe.log import configure

    configure(config.observe.log_level, config.observe.log_format)
    for warning in warnings(config, os.environ):
        structlog.get_logger().warning("configuration", detail=warning)


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


def _post(url: str, event: dict[str, Any]) -> None:
    """Post one event and print the answer; exit 1 where it was not taken."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is not http:// or https://", param_hint="--url")
    request = Request(url, orjson.dumps(event), {"Content-Type": "application/json"})  # noqa: S310  # checked above
    try:
        with urlopen(request, timeout=5) as answer:  # noqa: S310  # checked above
            click.echo(answer.read().decode())
    except HTTPError as error:
        click.echo(error.read().decode(errors="replace"), err=True)
        sys.exit(1)
    except (URLError, OSError) as error:
        click.echo(f"{url} does not answer: {getattr(error, 'reason', error)}", err=True)
        sys.exit(1)
