#!/usr/bin/env bash
# Send your first events: StatsD over UDP with bash alone, JSON over HTTP with curl.
set -euo pipefail

statsd=${STATSD_ADDR:-localhost:8125}
ingest=${INGEST_URL:-http://localhost:8127}

# <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
udp=/dev/udp/${statsd%:*}/${statsd##*:}
echo 'OrdersPlaced:1|c|#Service:checkout,Region:eu' >"$udp"
echo 'OrderLatency:245.5|ms|#Service:checkout' >"$udp"

# HTTP answers what it took: {"accepted":1,"rejected":[]}
post() {
    curl --silent --show-error --header 'Content-Type: application/json' --data "$2" "$ingest$1"
    echo
}
post /ingest/metrics '{"name": "OrderSize", "value": 18432, "unit": "Bytes", "dimensions": {"Service": "checkout"}}'
post /ingest/logs '{"message": "order placed", "service": "checkout", "order_id": "A-1001"}'
