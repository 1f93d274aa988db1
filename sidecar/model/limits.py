"""Every limit in one module: those of the services, and ours. Units are in the names.

Sources, read 2026-11-20: the CloudWatch service model (PutMetricData, MetricDatum, Dimension), the
CloudWatch Logs service model (PutLogEvents, InputLogEvent, CreateLogGroup, PutRetentionPolicy) and the
quota pages `cloudwatch_limits` and `cloudwatch_limits_cwl`.
"""

from __future__ import annotations

from typing import Final

# --- CloudWatch metrics -------------------------------------------------------------------------
DATUMS_PER_REQUEST: Final = 1_000  # MetricDatum items; quota page
# "1 MB" for a POST, and the page does not say whether before or after gzip: uncompressed holds for both.
METRIC_REQUEST_BYTES: Final = 1_000_000
VALUES_PER_DATUM: Final = 150  # MetricDatum.Values
DIMENSIONS_PER_METRIC: Final = 30  # Dimensions
NAME_CHARACTERS: Final = 255  # MetricName, DimensionName, Namespace
DIMENSION_VALUE_CHARACTERS: Final = 1_024  # DimensionValue
VALUE_MAGNITUDE: Final = 2.0**360  # MetricDatum.Value
# Values up to this, with the largest weight (a million), cannot bring a sum out of range: near 2^360 they are lost in
# rounding. Larger ones are added with a check.
PLAIN_MAGNITUDE: Final = 2.0**280
RESOLUTIONS: Final = (1, 60)  # MetricDatum.StorageResolution, seconds
UNITS: Final = frozenset(
    [
        "Seconds",
        "Microseconds",
        "Milliseconds",
        "Bytes",
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Bits",
        "Kilobits",
        "Megabits",
        "Gigabits",
        "Terabits",
        "Percent",
        "Count",
        "Bytes/Second",
        "Kilobytes/Second",
        "Megabytes/Second",
        "Gigabytes/Second",
        "Terabytes/Second",
        "Bits/Second",
        "Kilobits/Second",
        "Megabits/Second",
        "Gigabits/Second",
        "Terabits/Second",
        "Count/Second",
        "None",
    ],
)  # StandardUnit

# --- both services ------------------------------------------------------------------------------
PAST_SECONDS: Final = 14 * 86_400.0  # PutMetricData ("two weeks"), PutLogEvents ("14 days")
FUTURE_SECONDS: Final = 2 * 3_600.0  # both: "2 hours"

# --- CloudWatch Logs ----------------------------------------------------------------------------
EVENTS_PER_REQUEST: Final = 10_000  # PutLogEvents
LOG_REQUEST_BYTES: Final = 1_048_576  # PutLogEvents: message bytes plus 26 an event
LOG_EVENT_OVERHEAD_BYTES: Final = 26
LOG_MESSAGE_BYTES: Final = LOG_REQUEST_BYTES - LOG_EVENT_OVERHEAD_BYTES  # 1,048,550
LOG_REQUEST_SPAN_MS: Final = 24 * 3_600 * 1_000  # PutLogEvents: 24 hours between oldest and newest
GROUP_CHARACTERS: Final = 512  # LogGroupName
STREAM_CHARACTERS: Final = 512  # LogStreamName
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)  # PutRetentionPolicy

# --- ours ---------------------------------------------------------------------------------------
SERIES_BYTES: Final = 1_536  # of memory for each of metrics.max_series: ten dimensions of usual length
MIN_SERIES_BYTES: Final = 1_048_576  # however few series: the largest takes 41 kB
DATAGRAM_BYTES: Final = 65_535  # the largest UDP datagram IPv4 can carry
MIN_RATE: Final = 1e-6  # one line counts as at most a million samples: bounds the effect of "@1e-9"
TAGS_PER_LINE: Final = 100  # CloudWatch accepts 30; repeated, empty and internal ones come on top
FIELDS_PER_LINE: Final = 64  # behind the type; DogStatsD has seven
PARTS_PER_LINE: Final = 2_048  # of one line, between bars: values of an etsy repeat, and fields
JSON_ITEMS_PER_DATAGRAM: Final = 4_000  # a datagram fits about 3,000 of the shortest valid ones
ITEMS_PER_BODY: Final = 100_000
METRICS_SHARE: Final = 4  # of deliver.memory_bytes metrics have one part in so many, logs the rest
VALUES_PER_ITEM: Final = 100_000  # `values` of one JSON metric
