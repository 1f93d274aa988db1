"""What a running sidecar has sent, read from the JSON of its `/series`. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.generate.sent import Found, Reference, Refused, matches, shown_dimensions, statistic_problem
from sidecar.model.errors import ConfigError
from sidecar.model.samples import Dimensions, Form


class _Sent(BaseModel):
    """A metric with one set of dimensions, and some of their values."""

    model_config = ConfigDict(frozen=True)

    namespace: str
    name: str
    dimensions: list[str]
    resolution: int
    form: Form
    values: Annotated[list[list[str]], Field(max_length=1_000)]
    more: bool

    def sets(self) -> list[Dimensions]:
        """The sets with their values, as series have them."""
        return [tuple(zip(self.dimensions, values, strict=True)) for values in self.values]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    sent: Annotated[list[_Sent], Field(max_length=100_000)]
    more: bool


class Seen:
    """What a sidecar has sent since its start."""

    def __init__(self, body: bytes) -> None:
        """Read the answer of `/series`.

        Raises:
            ConfigError: it is not one.
        """
        try:
            self._answer = _Answer.model_validate_json(body)
            self._sets = [(one, one.sets()) for one in self._answer.sent]
        except (ValidationError, ValueError):
            raise ConfigError(["--from: the answer is not that of /series of a sidecar's admin port"]) from None

    def find(self, reference: Reference) -> Found | Refused:
        """The metric as it was sent, or why it was not."""
        named = [(one, sets) for one, sets in self._sets if one.name == reference.name]
        spaces = sorted({one.namespace for one, _ in named})
        if reference.namespace is not None:
            named = [(one, sets) for one, sets in named if one.namespace == reference.namespace]
        elif len(spaces) > 1:
            return Refused(f"{reference.asset}: {reference.name} is sent in {', '.join(spaces)}: give the namespace")
        if not named:
            hint = "; it has sent more metrics than it remembers" if self._answer.more else ""
            return Refused(f"{reference.asset}: the sidecar has not sent {reference.name} since its start{hint}")
        exact = [one for one, sets in named if _has(one, sets, reference.dimensions)]
        if not exact:
            listed = sorted({shown_dimensions(each) for _, sets in named for each in sets})
            return Refused(
                f"{reference.asset}: {reference.name} was not sent with exactly {shown_dimensions(reference.dimensions)},"
                f" but with {' and '.join(listed[:10])}"
            )
        problems = (statistic_problem(reference, one.form, one.resolution) for one in exact)
        problem = next((one for one in problems if one is not None), None)
        if problem is not None:
            return Refused(problem)
        return Found(exact[0].namespace, reference.dimensions, exact[0].form, exact[0].resolution)


def _has(one: _Sent, sets: list[Dimensions], wanted: Dimensions) -> bool:
    """True if the values were seen; also where more values were sent than the sidecar remembers."""
    same_names = sorted(one.dimensions) == [name for name, _ in wanted]
    return (one.more and same_names) or any(matches(each, wanted) for each in sets)
