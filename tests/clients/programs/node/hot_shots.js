// What an application would do with hot-shots; test_hot_shots.py says what must come of it.
// Usage: node hot_shots.js <scenario>   with STATSD_PORT or STATSD_SOCKET, and NODE_PATH, in the environment.
"use strict";
const StatsD = require("hot-shots");

const address = process.env.STATSD_SOCKET
  ? { protocol: "uds", path: process.env.STATSD_SOCKET }
  : { host: "127.0.0.1", port: Number(process.env.STATSD_PORT) };
const client = (options) => new StatsD({ ...address, errorHandler: fail, ...options });

const scenarios = {
  // One datagram a line, tags as arrays and as objects, a child with tags of its own.
  plain() {
    const statsd = client({ prefix: "shop.", globalTags: { env: "test" } });
    for (let i = 0; i < 100; i++) statsd.increment("orders", { region: "eu" });
    statsd.increment("orders", 20, ["region:us", "express"]);
    statsd.decrement("orders", 5, ["region:us", "express"]);
    statsd.increment(["orders", "visits"], 2);
    const child = statsd.childClient({ prefix: "cart.", globalTags: { env: "child" } });
    child.histogram("size", 3);
    statsd.timing("query", 12.5, { table: "a:b" });
    return statsd;
  },
  // Datagrams filled with lines.
  buffered() {
    const statsd = client({ maxBufferSize: 1432, globalTags: ["env:test"] });
    for (let i = 1; i <= 1000; i++) {
      statsd.increment("orders");
      statsd.timing("query", i);
      statsd.histogram("size", i / 4);
      statsd.distribution("price", -i);
      statsd.gauge("depth", 500 - i);
    }
    return statsd;
  },
  // A negative gauge is sent as such; a delta looks the same on the wire.
  gauges() {
    const tagged = client({ globalTags: ["env:test"], maxBufferSize: 1432 });
    for (const value of [10, -3, 4]) tagged.gauge("temperature", value);
    const bare = client({ maxBufferSize: 1432 });
    bare.gauge("connections", 10);
    bare.gaugeDelta("connections", 5);
    bare.gaugeDelta("connections", -3);
    bare.close();
    return tagged;
  },
  sets() {
    const statsd = client({ maxBufferSize: 512 });
    for (let i = 0; i < 60; i++) {
      statsd.unique("visitors", `user-${i % 6}`, { site: "a" });
      statsd.set("sites", i % 2);
    }
    return statsd;
  },
  // One call in four is sent and says so.
  rates() {
    let calls = 0;
    Math.random = () => [0.1, 0.5, 0.9, 0.3][calls++ % 4];
    const statsd = client({ maxBufferSize: 1432 });
    for (let i = 0; i < 400; i++) statsd.increment("hits", 2, 0.25, { region: "eu" });
    for (let i = 0; i < 40; i++) statsd.timing("query", 8, 0.25);
    return statsd;
  },
  // Everything Datadog's agent is told beside the metrics, the client's own telemetry too, and sums made in the client.
  datadog() {
    const statsd = client({
      datadog: true,
      includeDatadogTelemetry: true,
      containerID: "ci-0123456789abcdef",
      cardinality: "low",
      aggregation: { flushInterval: 60000 },
    });
    for (let i = 0; i < 100; i++) {
      statsd.increment("orders", 2, { region: "eu" });
      statsd.gauge("depth", 5 - i);
      statsd.timing("query", 30);
    }
    return statsd;
  },
  telegraf() {
    const statsd = client({ telegraf: true, globalTags: ["env:test"], maxBufferSize: 1432 });
    for (let i = 0; i < 50; i++) statsd.increment("orders", 1, { region: "eu" });
    statsd.timing("query", 40);
    return statsd;
  },
};

function fail(error) {
  console.error(error);
  process.exitCode = 1;
}

scenarios[process.argv[2]]().close((error) => error && fail(error));
