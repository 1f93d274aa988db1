"""The command line: argv to a command. Exit status: 0 done or stopped, 1 a bug or not alive, 2 unusable input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from sidecar import __version__
from sidecar.commands.output import complain, complain_unless_closed, flush
from sidecar.commands.parameters import CONFIG, finite
from sidecar.config.cost_report import cost_report
from sidecar.config.file import source
from sidecar.config.load import dump, load, rule_lines, warnings
from sidecar.config.rule_report import report
from sidecar.config.schema import Config
from sidecar.model.errors import ConfigError
from sidecar.runtime.process import leave, missing_threads, open_missing_streams

_IMPORTED: Final = {
    "explain": "sidecar.commands.explain",
    "generate": "sidecar.commands.generate",
    "send": "sidecar.commands.send",
    "spool": "sidecar.commands.spool",
}
"""Commands that are imported when they are run, so that the others start sooner: {name: module}."""


class _Commands(click.Group):
    """The commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, imported or not."""
        return sorted([*super().list_commands(ctx), *_IMPORTED])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        module = _IMPORTED.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  # click's signature
        **extra: Any,
    ) -> Any:
        """Run a command line and exit: with the documented status, even if standard output or error is closed."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        open_missing_streams()
        given = sys.argv[1:] if args is None else list(args)
        try:
            if given:
                # Completion comes without arguments: a variable set by mistake must not stop a daemon.
                complete_var = ""
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
                complain(f"configuration: {problem}")
            status = 2
        except click.Abort:
            complain("aborted")
            status = 1
        except OSError as error:
            if given[:1] in (["run"], ["demo"]):
                raise  # not of a pipe or disk of the shell: a bug, which needs its traceback
            complain_unless_closed(error)
            status = 1
        sys.exit(flush() or status)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="sidecar")
def cli() -> None:
    """Metric and log events in; CloudWatch statistic sets and log batches out."""


@cli.command()
@CONFIG
def run(path: Path | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    read_from = source(path)
    config = load(path, os.environ)
    _require_threads()
    _start_logging(config)

    def daemon() -> int:
        from sidecar.app import run as run_app

        return run_app(config, read_from)

    _run_and_leave(daemon)


@cli.command()
@CONFIG
def check(path: Path | None) -> None:
    """Validate the configuration and print it with every default filled in; above it rules and prices, as comments."""
    config = load(path, os.environ)
    for warning in warnings(os.environ):
        click.echo(f"warning: {warning}", err=True)
    for sentence in (*report(config, rule_lines(path, os.environ, config)), *cost_report(config)):
        click.echo(f"# {sentence}")
    click.echo(dump(config), nl=False)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def health(arguments: tuple[str, ...]) -> None:
    """Ask a running daemon whether it is alive: exit 0 or 1."""
    from sidecar.commands.health import main

    sys.exit(main(list(arguments)))


@cli.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86_400),
    callback=finite,
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


def _start_logging(config: Config) -> None:
    import structlog

    from sidecar.observe.log import configure

    configure(config.observe.log_level, config.observe.log_format)
    for warning in warnings(os.environ):
        structlog.get_logger().warning("configuration", detail=warning)
