"""The command line: argv to a command. Exit status: 0 done or stopped, 1 a bug or not alive, 2 unusable input."""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
import orjson

from sidecar import __version__
from sidecar.config.load import dump, load, warnings
from sidecar.config.schema import Config
from sidecar.model.errors import ConfigError
from sidecar.runtime.process import leave, missing_threads, open_missing_streams

SEND_SECONDS = 5.0  # to connect, and for each part of the answer
MAX_ANSWER_BYTES = 65_536

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
            from sidecar.commands.spool import spool

            return spool
        return super().get_command(ctx, cmd_name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  # click's signature
        **extra: Any,
    ) -> Any:
        """Run a command line and exit: with the status of the contract, whatever standard output and error are."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        open_missing_streams()
        given = sys.argv[1:] if args is None else list(args)
        try:
            if given:
                complete_var = ""  # completion is asked for without arguments; a variable left over stops no daemon
            result = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
            status = result if isinstance(result, int) else 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except click.ClickException as error:
            with suppress(OSError):
                error.show()
            status = error.exit_code
        except ConfigError as error:
            for problem in error.problems:
                _complain(f"configuration: {problem}")
            status = 2
        except click.Abort:
            _complain("aborted")
            status = 1
        except OSError as error:
            if given[:1] in (["run"], ["demo"]):
                raise  # not one of a shell's pipe or disk, but a bug, which needs its traceback
            _complain_unless_closed(error)
            status = 1
        sys.exit(_flush() or status)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="sidecar")
def cli() -> None:
    """Metric and log events in; CloudWatch statistic sets and log batches out."""


@cli.command()
@_CONFIG
def run(path: Path | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    config = load(path, os.environ)
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
    config = load(path, os.environ)
    for warning in warnings(config, os.environ):
        click.echo(f"warning: {warning}", err=True)
    click.echo(dump(config), nl=False)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def health(arguments: tuple[str, ...]) -> None:
    """Ask a running daemon whether it is alive: exit 0 or 1."""
    from sidecar.commands.health import main

    sys.exit(main(list(arguments)))


@cli.group()
def send() -> None:
    """Send one event from the shell to a running daemon."""


_URL = click.option("--url", default="http://localhost:8127", show_default=True, help="The daemon's HTTP listener.")


def _name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    # Unknown options are taken for arguments, so that VALUE may be -5.
    if name.startswith("-"):
        raise click.NoSuchOption(name)
    return name


def _finite(_context: click.Context, _parameter: click.Parameter, number: float) -> float:
    if not math.isfinite(number):
        raise click.BadParameter(f"{number} is not a finite number.")
    return number


@send.command("metric", context_settings={"ignore_unknown_options": True})
@click.argument("name", callback=_name)
@click.argument("value", type=float, callback=_finite)
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


@cli.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86_400),
    callback=_finite,
    default=16.0,
    show_default=True,
    help="How long the example application runs.",
)
def demo(seconds: float) -> None:
    """Run the daemon on the local target with an example application sending to it."""
    from sidecar.commands.demo import run_demo

    _require_threads()
    _run_and_leave(lambda: run_demo(seconds))


def _require_threads() -> None:
    problem = missing_threads()
    if problem is not None:
        click.echo(problem, err=True)
        sys.exit(2)


def _run_and_leave(daemon: Callable[[], int]) -> NoReturn:
    """Run a daemon and end the process with its status, whatever standard output and standard error do."""
    import structlog

    from sidecar.observe import log

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


def _complain(sentence: str) -> None:
    """Write to standard error; where that is impossible, the exit status says it all."""
    with suppress(OSError):
        click.echo(sentence, err=True)


def _complain_unless_closed(error: OSError) -> None:
    if error.errno != errno.EPIPE:  # whoever closed the pipe has read enough
        _complain(f"sidecar: {error}")


def _flush() -> int:
    """Flush the standard streams; returns 1 if standard output did not take what was written to it."""
    status = 0
    for stream, failed in ((sys.stdout, 1), (sys.stderr, 0)):
        try:
            stream.flush()
        except OSError as error:
            if failed:
                _complain_unless_closed(error)
            status = status or failed
            # The interpreter flushes once more, and would end with status 120.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    return status


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


def _post(url: str, path: str, event: dict[str, Any]) -> None:
    """Post one event and print the answer; exit 1 where it was not taken.

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
        with closing(kind(host, port, timeout=SEND_SECONDS)) as connection:
            connection.request("POST", parts.path.rstrip("/") + path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(MAX_ANSWER_BYTES).decode(errors="replace")
    except (InvalidURL, ValueError) as error:  # a host or path that cannot be put on the wire
        raise click.BadParameter(f"{url!r} cannot be used: {error}", param_hint="--url") from None
    except (OSError, HTTPException) as error:
        _complain(f"{url} does not answer: {error or type(error).__name__}")
        sys.exit(1)
    if answer.status not in range(200, 300):
        _complain(text or f"{url} answers {answer.status} {answer.reason}")
        sys.exit(1)
    click.echo(text)
