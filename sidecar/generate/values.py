"""Resources with the properties of CloudFormation, and values that are known only where they are created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, Union

Kind: TypeAlias = Literal["policy", "group", "topic", "alarm", "composite", "dashboard", "query", "filter"]


@dataclass(frozen=True, slots=True)
class Arn:
    """The ARN of something in the account, Region and partition where the assets are created.

    Attributes:
        service: such as `logs`.
        resource: what follows the account.
    """

    service: str
    resource: str


@dataclass(frozen=True, slots=True)
class Topic:
    """The ARN of the SNS topic that is created for a severity."""

    severity: str


@dataclass(frozen=True, slots=True)
class Region:
    """The Region where the assets are created."""


@dataclass(frozen=True, slots=True)
class Json:
    """A value as JSON text."""

    value: Value


Value: TypeAlias = Union[  # noqa: UP007  # a recursive alias needs its text
    bool, int, float, str, Arn, Topic, Region, Json, Sequence["Value"], Mapping[str, "Value"], None
]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource.

    Attributes:
        kind: what it is.
        label: its name among those of its kind: letters, digits, `-` and `_`.
        properties: as CloudFormation names them.
        needs: labels of resources, with their kinds, that must be created before it.
    """

    kind: Kind
    label: str
    properties: Mapping[str, Value]
    needs: tuple[tuple[Kind, str], ...] = ()
