"""List prices of CloudWatch by Region, in US dollars, and what quantities cost by them. Pure.

Source: the AWS Price List API, publication 2026-08-06 (us-east-1; us-east-2 is equal), the pricing page of CloudWatch for
dashboards, and for ap-northeast-1 a page with its prices of logs, read 2026-11-20. Metrics, requests, alarms and
dashboards cost the same in nearly all Regions, logs do not. No free tier, no discount.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DATE: Final = "2026-08-06"  # of the table
HOURS_PER_MONTH: Final = 730.0  # by which a metric, an alarm and a stored byte are prorated
GB: Final = 2**30  # bytes of one billed gigabyte
TIERS: Final = (10_000.0, 250_000.0, 1_000_000.0)  # metrics a month of an account and Region up to which a price holds
DEFAULT_REGION: Final = "us-east-1"
INFREQUENT_ACCESS: Final = "INFREQUENT_ACCESS"
FOREVER_MONTHS: Final = 12.0  # of storage that are counted for a group without retention: a year


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one Region, dollars.

    Attributes:
        date: of the prices, as text.
        region: whose prices these are: the Region given, or us-east-1 if the table does not have it.
        metric_month: of one custom metric, one number for each of the tiers that end at `TIERS`, and one beyond; with
            fewer numbers the last holds for all further tiers. High resolution costs the same.
        requests_1000: of 1,000 PutMetricData requests.
        logs_gb: of one gigabyte ingested into a group of class STANDARD, uncompressed, with 26 bytes an event.
        logs_infrequent_gb: the same of class INFREQUENT_ACCESS.
        logs_stored_gb_month: of one gigabyte stored for a month, as the service has compressed it.
        logs_stored_share: what is left of one byte after that compression: an assumption, not a price.
        alarm_month: of one metric of an alarm with a period of 60 seconds or more.
        alarm_high_resolution_month: the same with a shorter period.
        alarm_composite_month: of one composite alarm.
        dashboard_month: of one dashboard.
    """

    date: str = DATE
    region: str = DEFAULT_REGION
    metric_month: tuple[float, ...] = (0.30, 0.10, 0.05, 0.02)
    requests_1000: float = 0.01
    logs_gb: float = 0.50
    logs_infrequent_gb: float = 0.25
    logs_stored_gb_month: float = 0.03
    logs_stored_share: float = 0.15
    alarm_month: float = 0.10
    alarm_high_resolution_month: float = 0.30
    alarm_composite_month: float = 0.50
    dashboard_month: float = 3.00

    def metrics(self, months: float) -> float:
        """What so many metric-months cost, tier by tier; a metric-month is `HOURS_PER_MONTH` metric-hours."""
        dollars = below = 0.0
        for index, upto in enumerate((*TIERS, float("inf"))):
            within = min(months, upto) - below
            if within <= 0.0:
                break
            dollars += within * self._tier(index)
            below = upto
        return dollars

    def metrics_for(self, dollars: float) -> float:
        """The largest number of metric-months for `dollars`; infinite if the last tier is free."""
        dollars, months = max(0.0, dollars), 0.0
        for index, upto in enumerate((*TIERS, float("inf"))):
            price = self._tier(index)
            cost = price * (upto - months) if price else 0.0
            if dollars < cost:
                return months + dollars / price
            dollars -= cost
            months = upto
        return months

    def requests(self, count: float) -> float:
        """What so many PutMetricData requests cost."""
        return count * self.requests_1000 / 1_000

    def log_ingestion(self, size_bytes: float, log_class: str | None = None) -> float:
        """What so many bytes of log events cost: messages uncompressed, and 26 an event; None is class STANDARD."""
        price = self.logs_infrequent_gb if log_class == INFREQUENT_ACCESS else self.logs_gb
        return size_bytes / GB * price

    def log_storage(self, bytes_a_month: float, retention_days: int | None) -> float:
        """What it costs a month to store so many new bytes a month, once the oldest expire.

        If they never expire (None): what it costs after `FOREVER_MONTHS`.
        """
        months = FOREVER_MONTHS if retention_days is None else retention_days * 24 / HOURS_PER_MONTH
        return bytes_a_month * months * self.logs_stored_share / GB * self.logs_stored_gb_month

    def _tier(self, index: int) -> float:
        return self.metric_month[min(index, len(self.metric_month) - 1)]


_TABLE: Final = {
    DEFAULT_REGION: Prices(),
    "us-east-2": Prices(region="us-east-2"),
    "ap-northeast-1": Prices(
        region="ap-northeast-1", logs_gb=0.76, logs_infrequent_gb=0.38, logs_stored_gb_month=0.033
    ),
}


def prices_of(region: str | None) -> Prices:
    """The list prices of a Region, or those of us-east-1 if the table does not have it: see `Prices.region`."""
    return _TABLE.get(region or DEFAULT_REGION, _TABLE[DEFAULT_REGION])


def two_digits(dollars: float) -> float:
    """Dollars with two significant digits: an estimate has no more."""
    return float(f"{dollars:.2g}")
