"""An application that sends metrics with aws-embedded-metrics; a line on standard input makes it go on."""

import asyncio
import os
import sys

from aws_embedded_metrics.logger.metrics_logger_factory import create_metrics_logger
from aws_embedded_metrics.storage_resolution import StorageResolution


async def main() -> None:
    for number in range(1, int(os.environ["DOCUMENTS"]) + 1):
        metrics = create_metrics_logger()
        metrics.set_namespace(os.environ["NAMESPACE"])
        metrics.set_dimensions({"Operation": "store"})
        metrics.put_metric("Latency", number, "Milliseconds")
        metrics.put_metric("Latency", 7.5, "Milliseconds")
        metrics.put_metric("Orders", 1, "Count", StorageResolution.HIGH)
        metrics.set_property("number", number)
        await metrics.flush()
        if number % 10 == 0:
            print("sent", flush=True)
            sys.stdin.readline()
    metrics = create_metrics_logger()
    metrics.set_namespace(os.environ["NAMESPACE"])
    metrics.set_dimensions({"Operation": "many"})
    for n in range(250):
        metrics.put_metric(f"many{n}", n, "Count")
    for n in range(230):
        metrics.put_metric("Values", n, "Bytes")
    await metrics.flush()


asyncio.run(main())
