"""Send your first events with nothing but the standard library: StatsD over UDP, JSON over HTTP."""

import json
import os
import socket
from urllib.request import Request, urlopen

STATSD_HOST, _, STATSD_PORT = os.environ.get("STATSD_ADDR", "localhost:8125").rpartition(":")
INGEST_URL = os.environ.get("INGEST_URL", "http://localhost:8127")


def post(path: str, event: dict[str, object]) -> None:
    """Post one event and print what was taken: {"accepted":1,"rejected":[]}."""
    request = Request(INGEST_URL + path, json.dumps(event).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=5) as answer:
        print(answer.read().decode())


# <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
    for line in (b"OrdersPlaced:1|c|#Service:checkout,Region:eu", b"OrderLatency:245.5|ms|#Service:checkout"):
        statsd.sendto(line, (STATSD_HOST, int(STATSD_PORT)))

post("/ingest/metrics", {"name": "OrderSize", "value": 18432, "unit": "Bytes", "dimensions": {"Service": "checkout"}})
post("/ingest/logs", {"message": "order placed", "service": "checkout", "order_id": "A-1001"})
