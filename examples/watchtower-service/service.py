"""A service that logs to CloudWatch with watchtower, and counts with a DogStatsD client."""

import logging
import os

import watchtower
from datadog.dogstatsd.base import DogStatsd

handler = watchtower.CloudWatchLogHandler(
    log_group_name="axon-production", log_stream_name="app-logs", log_group_retention_days=30
)
log = logging.getLogger("axon")
log.setLevel(logging.INFO)
log.addHandler(handler)
host, _, port = os.environ.get("STATSD_ADDR", "127.0.0.1:8125").rpartition(":")
statsd = DogStatsd(host=host, port=int(port))

for number in range(25):
    log.info({"message": "order placed", "order": number})
    statsd.increment("orders", tags=["region:eu"])
    statsd.histogram("order.size", 10 + number % 5)
log.warning("the last order of today")

statsd.flush()
logging.shutdown()  # the handler sends what it has
