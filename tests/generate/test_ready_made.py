"""Each ready-made configuration runs with its traffic against the strict double: what assets name was sent, and alarms fire."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import orjson
import pytest
import yaml

from sidecar.generate import insights_lexer
from sidecar.generate.api import ACCOUNT
from sidecar.generate.checked import Used
from sidecar.generate.sent import ANY
from tests.double import ThreadedCloudWatchDouble
from tests.generate.packs import NAMES, REGION, ROOT, alarms, api_calls, configured, pack
from tests.generate.simulator import Alarm, read
from tests.generate.traffic import FAULTS, MINUTES, Fault, last_period, lines
from tests.support.daemon import Daemon


class Running:
    """A sidecar with a ready-made configuration and its traffic; the double has one run at a time."""

    def __init__(self, name: str, daemon: Daemon, double: ThreadedCloudWatchDouble) -> None:
        self.name = name
        self.daemon = daemon
        self.double = double
        self.end = last_period(time.time())
        self.start = self.end - 60 * MINUTES
        self._sent = 0

    def send(self, fault: Fault | None = None) -> None:
        """Forget what was sent before, send the traffic, and wait until it is delivered."""
        self.double.metrics.clear()
        body = b"\n".join(orjson.dumps(line) for line in lines(self.name, self.end, fault))
        status, answer, _ = self.daemon.post("/ingest/logs", body, {"Content-Type": "application/x-ndjson"})
        assert (status, answer.get("rejected")) == (202, []), answer
        self._sent += int(answer["accepted"])
        self.daemon.settled(log_events=self._sent)


@pytest.fixture(params=NAMES)
def running(request: pytest.FixtureRequest, daemon: Callable[..., Daemon], double: ThreadedCloudWatchDouble) -> Running:
    """A daemon of each ready-made configuration that delivers to the double."""
    return started(request.param, daemon, double)


def started(
    name: str, daemon: Callable[..., Daemon], double: ThreadedCloudWatchDouble, *, rules: bool = True
) -> Running:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    if not rules:
        del config["metrics"]["rules"]
    config["metrics"] |= {"flush_seconds": 0.2}
    config["logs"] |= {"flush_seconds": 0.2}
    config["deliver"] = {"target": "cloudwatch", "endpoint_url": double.url}
    return Running(name, daemon(config), double)


def test_every_metric_that_an_asset_names_is_sent_and_every_alarm_is_quiet(running: Running) -> None:
    running.send()
    missing = [one for one in pack(configured(running.name)).used if not sent(one, running)]

    assert missing == []
    alarmed = {
        one.name: states
        for one in map_alarms(running)
        if (states := one.run(running.start + 3_600, running.end)) != {"OK"}
    }
    assert alarmed == {}


def test_the_policy_allows_the_calls_that_are_made_and_no_other(running: Running) -> None:
    """Every operation, each namespace and each group; nothing that is never called."""
    running.send()
    (policy,) = [one for one in api_calls(configured(running.name), "iam") if one["operation"] == "CreatePolicy"]
    statements = json.loads(policy["parameters"]["PolicyDocument"])["Statement"]
    allowed = {action: one for one in statements for action in one["Action"]}
    prefix = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"

    called = {one.operation for one in running.double.requests}
    assert {action.split(":")[1] for action in allowed} == called
    for one in running.double.requests:
        if one.operation == "PutMetricData":
            namespaces = allowed["cloudwatch:PutMetricData"]["Condition"]["StringEquals"]["cloudwatch:namespace"]
            assert one.target in namespaces
        else:
            group, _, stream = one.target.partition(":")
            name = f"{prefix}{group}:log-stream:{stream}" if stream else f"{prefix}{group}"
            assert any(fnmatchcase(name, arn) for arn in allowed[f"logs:{one.operation}"]["Resource"]), one


def test_every_alarm_fires_on_its_fault(running: Running) -> None:
    config = configured(running.name)
    assert set(FAULTS[running.name]) == {one.name for one in config.watch.alarms}
    silent = []
    for name, fault in FAULTS[running.name].items():
        running.send(fault)
        (alarm,) = [one for one in map_alarms(running) if one.name.endswith(f"-{name}")]
        if "ALARM" not in alarm.run(running.start + 3_600, running.end):
            silent.append(name)

    assert silent == []


def test_without_the_rollups_no_alarm_fires_and_none_is_generated(
    daemon: Callable[..., Daemon], double: ThreadedCloudWatchDouble
) -> None:
    """What the guides have: alarms on {Environment}, of metrics with more dimensions."""
    running = started("axonflow", daemon, double, rules=False)
    running.send(FAULTS["axonflow"]["high-error-rate"])
    silent = {one.name: one.run(running.start + 3_600, running.end) for one in map_alarms(running)}
    config = configured("axonflow")
    bare = config.model_copy(update={"metrics": config.metrics.model_copy(update={"rules": []})})

    assert silent.pop("axonflow-production-no-requests") == {"ALARM"}  # it has no data either
    assert set().union(*silent.values()) == {"OK"}
    refused = pack(bare, "alarms")
    assert len(refused.problems) >= len(bare.watch.alarms)
    assert [one for one in refused.resources if one.kind == "alarm"] == []


def test_every_query_reads_groups_and_fields_that_are_there(running: Running) -> None:
    running.send()
    for resource in pack(configured(running.name), "queries").resources:
        found: set[str] = {"@timestamp", "@message", "@logStream"}
        groups = resource.properties["LogGroupNames"]
        assert isinstance(groups, list)
        assert groups
        for group in groups:
            for _, message in running.double.logs.events(str(group)):
                found |= set(orjson.loads(message))

        assert fields_of(str(resource.properties["QueryString"])) <= found, resource.label


def map_alarms(running: Running) -> list[Alarm]:
    return [Alarm(one, running.double.metrics) for one in alarms(configured(running.name))]


def sent(used: Used, running: Running) -> bool:
    """Whether the double has the metric with exactly these dimensions, and the statistic of it."""
    store = running.double.metrics
    wanted = dict(used.dimensions)
    for series in store.series():
        given = dict(series.dimensions)
        if series[:2] != used[:2] or set(given) != set(wanted):
            continue
        if all(value in (ANY, given[name]) for name, value in wanted.items()):
            span = running.end - running.start
            return read(store, *used[:2], series.dimensions, used.statistic, running.start, span) is not None
    return False


def fields_of(query: str) -> set[str]:
    """The fields of log events that a query reads: its names without functions, words of the language and aliases."""
    words = {
        "fields",
        "filter",
        "stats",
        "sort",
        "limit",
        "by",
        "as",
        "desc",
        "asc",
        "and",
        "or",
        "not",
        "like",
        "in",
        "display",
    }
    tokens = insights_lexer.tokens(query)
    names = [
        token.text
        for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True)
        if token.kind == "name" and following.text != "("
    ]
    aliases = {following.text for token, following in pairwise(tokens) if token.text == "as"}
    return set(names) - words - aliases
