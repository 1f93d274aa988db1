"""The lines of `sidecar check` about cost: the prices, what flushes cost, and how many series the budget allows."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config.cost import PriceOverrides
from sidecar.config.problems import printable
from sidecar.config.schema import Config
from sidecar.model.prices import HOURS_PER_MONTH, TIERS, Prices, two_digits


def cost_report(config: Config) -> Iterator[str]:
    """The sentences, each a line."""
    prices = (config.prices or PriceOverrides()).over(config.region)
    region = prices.region
    if config.region is not None and config.region != region:
        region += f" (the table has none of {printable(config.region[:100])})"
    yield (
        f"prices of {region}, {prices.date}, dollars, list price without free tier or discounts: {_metrics(prices)},"
        f" 1,000 requests {prices.requests_1000:g}, a gigabyte of logs {prices.logs_gb:g}"
        f" (INFREQUENT_ACCESS {prices.logs_infrequent_gb:g}), stored {prices.logs_stored_gb_month:g} a month"
    )
    budget = config.metrics.budget
    replicas = 1 if budget is None else budget.replicas
    of_replicas = f" of {replicas} replicas" if replicas > 1 else ""
    requests = HOURS_PER_MONTH * 3_600 / config.metrics.flush_seconds * replicas
    yield (
        f"metrics.flush_seconds {config.metrics.flush_seconds:g}: {requests:,.0f} requests{of_replicas} a month for each"
        f" namespace, {two_digits(prices.requests(requests)):g} dollars; more where a flush has over 1,000 datums"
    )
    if budget is not None:
        series = prices.metrics_for(budget.dollars_per_month)
        yield (
            f"metrics.budget {budget.dollars_per_month:g} dollars a month: pays for {_number(series)} series{of_replicas}"
            " without any logs or requests"
        )


def _metrics(prices: Prices) -> str:
    first, *others = prices.metric_month
    beyond = "; ".join(f"{price:g} beyond {upto:,.0f}" for upto, price in zip(TIERS, others, strict=False))
    return f"a metric {first:g} a month" + (f" ({beyond})" if beyond else "")


def _number(series: float) -> str:
    return "any number of" if series == float("inf") else f"{int(series):,}"
