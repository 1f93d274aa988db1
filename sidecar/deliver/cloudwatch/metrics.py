"""PutMetricData: batches of datums to CloudWatch."""

from __future__ import annotations

from sidecar.deliver.cloudwatch.client import AwsClient
from sidecar.deliver.worker import Rejected
from sidecar.model.batches import MetricBatch

OPERATION = "PutMetricData"


class CloudWatchMetrics:
    """The destination of metric batches. All or nothing: what is wrong with one datum fails the request."""

    operation = OPERATION

    def __init__(self, client: AwsClient) -> None:
        """Send through this client, which must know PutMetricData as a finished operation."""
        self._client = client

    async def send(self, batch: MetricBatch) -> list[Rejected]:
        """Send one request; nothing is ever rejected out of an accepted one.

        Raises:
            DeliveryError: it failed.
        """
        await self._client.call("put_metric_data", {"Namespace": "-", "MetricData": []}, batch.body)
        return []
