// Send your first events with nothing but Node (18 or later): StatsD over UDP, JSON over HTTP.
import { createSocket } from "node:dgram";

const [, host, port] = (process.env.STATSD_ADDR ?? "localhost:8125").match(/^(.*):(\d+)$/);
const ingestUrl = process.env.INGEST_URL ?? "http://localhost:8127";

// <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
const statsd = createSocket("udp4");
const send = (line) =>
  new Promise((done, failed) => statsd.send(line, Number(port), host, (error) => (error ? failed(error) : done())));
await send("OrdersPlaced:1|c|#Service:checkout,Region:eu");
await send("OrderLatency:245.5|ms|#Service:checkout");
statsd.close();

// HTTP answers what it took: {"accepted":1,"rejected":[]}
async function post(path, event) {
  const answer = await fetch(ingestUrl + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(event),
  });
  console.log(await answer.text());
}
await post("/ingest/metrics", { name: "OrderSize", value: 18432, unit: "Bytes", dimensions: { Service: "checkout" } });
await post("/ingest/logs", { message: "order placed", service: "checkout", order_id: "A-1001" });
