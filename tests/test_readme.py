"""The tables of the README and of the pages it leads to say what the code does, and its commands run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
import pytest

from sidecar.commands.cli import cli
from sidecar.config.schema import Config
from sidecar.inputs import ROWS, HttpRow
from sidecar.observe.figures import FIGURES
from tests.clients.arrivals import delivered, environment, of, same, series_of
from tests.support.daemon import Daemon

ROOT: Final = Path(__file__).parents[1]
README: Final = (ROOT / "README.md").read_text()
ADDRESSES: Final = ("statsd", "emf", "http", "admin")


def test_the_configuration_table_has_every_key_that_does_something() -> None:
    told = set()
    for row in section("configuration.md", "## Keys"):
        told |= set(re.findall(r"`([a-z_.]+)`", row.split("|")[1]))
    keys = set()
    for name, info in Config.model_fields.items():
        fields = getattr(info.annotation, "model_fields", None)
        keys |= {f"{name}.{inner.alias or key}" for key, inner in fields.items()} if fields else {name}

    assert told == keys


def test_the_metrics_table_is_the_table_of_figures() -> None:
    """Every metric with its labels, its help text and whether it means loss, in the same order."""
    expected = []
    for figure in FIGURES:
        labels = f"{{{','.join(figure.labels)}}}" if figure.labels else ""
        text = figure.help.removesuffix(".")
        but = ", except " + ", ".join(f"`{one}`" for one in figure.no_loss) if figure.no_loss else ""
        expected.append(f"| `{figure.name}{labels}` | {text} | {f'**yes**{but} ' if figure.loss else ''}|")

    assert section("figures.md", "## All figures") == expected


def test_the_table_of_inputs_has_every_input() -> None:
    """Every way in with its address, its keys and its labels; EMF over TCP and UDP, which share them, in one row."""
    told = set()
    for line in section("inputs.md", "# Inputs", begins="| "):
        _, _, address, keys, labels, _, _ = line.split("|")
        told.add((address.strip(), *(tuple(re.findall(r"`(\w+)`", cell)) for cell in (keys, labels))))

    listen = Config().listen
    expected = set()
    for row in ROWS:
        port = getattr(listen, row.keys[-1])
        address = f"`{getattr(listen, row.keys[0])}:{port}`" if port is not None else "off"
        if isinstance(row, HttpRow):
            address += f", `POST {row.path}`" if row.path else ", any other path"
        expected.add((address, row.keys, (row.label,) if isinstance(row, HttpRow) else row.labels))
    assert told == expected


def test_the_table_of_ports_has_every_port_and_path() -> None:
    rows = readme_section("How it works")
    told = {int(port) for port in re.findall(r"(\d+)/(?:tcp|udp)", rows)}
    listen = Config().listen

    assert told == {getattr(listen, f"{name}_port") for name in ADDRESSES}
    assert [row.path for row in ROWS if isinstance(row, HttpRow) and row.path and row.path not in rows] == []


def test_every_page_is_linked_in_the_readme() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")}

    assert pages - set(re.findall(r"\]\(([^)#]+)", README)) == set()


def test_every_command_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    commands = set(re.findall(r"(?:`|bin/)sidecar ([a-z]+)", README))

    assert {"demo", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
    assert {"run", "send", "explain"} <= commands
    assert commands - set(cli.list_commands(click.Context(cli))) == set()


def test_the_first_events_of_the_readme_are_delivered(daemon: Callable[..., Daemon]) -> None:
    """Its commands deliver a counter, a metric with a unit and a log event, and the console shows what the page shows."""
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    text = readme_section("Send your first event")
    start, commands = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [console] = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    settings = dict(re.findall(r"(SIDECAR_\w+)=(\S+)", start)) | {"SIDECAR_METRICS__FLUSH_SECONDS": "0.2"}
    running = daemon({"deliver": {"target": "cloudwatch", "drain_seconds": 5}}, environ=settings)
    commands = commands.replace("8125", str(running.statsd_port), 1).replace(":8127/", f":{running.http_port}/")

    ran = subprocess.run(
        ["bash", "-ec", commands], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )

    assert ran.returncode == 0, ran.stderr
    [answer] = re.findall(r"prints `([^`]+)`", text)
    assert ran.stdout == answer * 2
    assert series_of(delivered(running, samples=2, log_events=1)) == {
        of("orders", Service="shop"): same(1.0, "Count"),
        of("Latency", Service="shop"): same(245.5, "Milliseconds"),
    }
    # The lines indented by two blanks are what was sent; they begin with a time.
    expected = {line[11:] for line in console.splitlines() if line.startswith("  ")}
    assert len(expected) == 3
    running.wait_until(lambda: expected <= {line[11:] for line in running.console().splitlines()}, "shown")
    assert json.loads(running.get("/stats")[1])["delivery"]["target"] == "local"


def readme_section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def section(page: str, title: str, begins: str = "| `") -> list[str]:
    """The rows of the first table below a title of a page."""
    text = (ROOT / "docs" / page).read_text().split(f"{title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        line for line in text.splitlines() if line.startswith(begins) and not line.startswith(("| ---", "| input "))
    ]
    assert rows
    return rows
