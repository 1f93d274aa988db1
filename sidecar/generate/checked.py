"""Checks the metrics that assets name against what is sent, and collects all problems, so that they are reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from sidecar.config.schema import Config
from sidecar.config.watch import Severity
from sidecar.generate.sent import ANY, Addition, Found, Reference, Refused, Sent, known
from sidecar.generate.values import Topic, Value
from sidecar.model.samples import Dimensions

_NO_SLUG: Final = re.compile(r"[^A-Za-z0-9]+")


class Used(NamedTuple):
    """A metric that an asset names, and that is sent."""

    namespace: str
    name: str
    dimensions: Dimensions
    statistic: str


class Checked:
    """Looks up metrics, and names assets.

    Attributes:
        config: the configuration.
        problems: a sentence for each metric that is not sent as an asset names it, and for each other mistake.
        additions: rules that solve some of them.
        used: every metric that an asset names and that is sent.
        severities: of the topics that have to be created, in the order in which they are needed.
    """

    def __init__(self, config: Config, sent: Sent) -> None:
        """Start without problems."""
        self.config = config
        self.problems: list[str] = []
        self.additions: list[Addition] = []
        self.used: dict[Used, None] = {}
        self.severities: dict[Severity, None] = {}
        self._sent = sent
        watch = config.watch
        self.service = watch.service or _slug(config.namespace)
        self.environment = watch.environment or _slug(known(config.dimensions).get("Environment", ""))

    @property
    def prefix(self) -> str:
        """What the names of all assets begin with: the service and, where there is one, the environment."""
        return f"{self.service}-{self.environment}" if self.environment else self.service

    def dimensions(self, asset: str, given: Mapping[str, str | None] | None, by: list[str] | None = None) -> Dimensions:
        """A set of dimensions with its values.

        Args:
            asset: where in the configuration.
            given: names with values; None for a value is the configured one, None for all is every configured dimension.
            by: names of dimensions; a graph has a line for each of their values.
        """
        configured = known(self.config.dimensions)
        found: dict[str, str] = dict.fromkeys(by or (), ANY)
        for name, value in (configured if given is None else given).items():
            exact = configured.get(name) if value is None else value
            if exact is None:
                self.problem(f"{asset}: the dimension {name} has no value, and is not one of the configured dimensions")
            elif exact == ANY and name not in found:
                self.problem(
                    f"{asset}: the value of the dimension {name} is known only where the sidecar runs"
                    f" ({self.config.dimensions[name]}): give the value, or use a rollup without the dimension"
                )
            found.setdefault(name, exact or ANY)
        return tuple(sorted(found.items()))

    def find(self, reference: Reference) -> Found | None:
        """The metric as it is sent; None with a problem noted where it is not."""
        found = self._sent.find(reference)
        if isinstance(found, Refused):
            self.problem(found.sentence)
            self.additions += found.additions
            return None
        self.used[Used(found.namespace, reference.name, reference.dimensions, reference.statistic)] = None
        return found

    def problem(self, sentence: str) -> None:
        """Note why something cannot be generated."""
        if sentence not in self.problems:
            self.problems.append(sentence)

    def topic(self, asset: str, severity: Severity) -> Value:
        """The ARN of the topic for a severity: the configured one, or that of a topic that is created."""
        arn = self.config.watch.topics.get(severity)
        if arn is None:
            self.severities[severity] = None
            return Topic(severity)
        region = arn.split(":")[3]
        if self.config.region is not None and region != self.config.region:
            self.problem(
                f"{asset}: the topic {arn} is in {region}, and an alarm can only notify topics of the same Region"
            )
        return arn


def _slug(text: str) -> str:
    return _NO_SLUG.sub("-", text).strip("-").lower()
