"""The keys about cost: `prices`, which override the list prices, and `metrics.budget`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.model.prices import TIERS, Prices, prices_of

Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class PriceOverrides(BaseModel):
    """Prices that override those of the table; `Prices` describes each."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    metric_month: Annotated[list[Dollars], Field(min_length=1, max_length=len(TIERS) + 1)] | None = None
    requests_1000: Dollars | None = None
    logs_gb: Dollars | None = None
    logs_infrequent_gb: Dollars | None = None
    logs_stored_gb_month: Dollars | None = None
    logs_stored_share: Annotated[float, Field(ge=0, le=1)] | None = None
    alarm_month: Dollars | None = None
    alarm_high_resolution_month: Dollars | None = None
    alarm_composite_month: Dollars | None = None
    dashboard_month: Dollars | None = None

    def over(self, region: str | None) -> Prices:
        """The list prices of a Region, overridden by these."""
        given = self.model_dump(exclude_none=True)
        if self.metric_month is not None:
            given["metric_month"] = tuple(self.metric_month)
        return replace(prices_of(region), **given)


class Budget(BaseModel):
    """The budget with which the bill is compared.

    Attributes:
        dollars_per_month: of all replicas together.
        replicas: how many sidecars with this configuration run at a time.
        at: the share of it at which warnings begin.
        then: what happens at the budget: `warn`, or `fold` new combinations of dimensions.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    dollars_per_month: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    replicas: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    at: Annotated[float, Field(gt=0, le=1)] = 0.8
    then: Literal["warn", "fold"] = "warn"
