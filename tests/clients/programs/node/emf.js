// An application that sends metrics with aws-embedded-metrics; a line on standard input makes it go on.
const { createMetricsLogger, Unit, StorageResolution } = require("aws-embedded-metrics");
const lines = require("node:readline").createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function main() {
  const { NAMESPACE, DOCUMENTS } = process.env;
  for (let number = 1; number <= Number(DOCUMENTS); number++) {
    const metrics = createMetricsLogger();
    metrics.setNamespace(NAMESPACE);
    metrics.setDimensions({ Operation: "store" });
    metrics.putMetric("Latency", number, Unit.Milliseconds);
    metrics.putMetric("Latency", 7.5, Unit.Milliseconds);
    metrics.putMetric("Orders", 1, Unit.Count, StorageResolution.High);
    metrics.setProperty("number", number);
    await metrics.flush();
    if (number % 10 === 0) {
      console.log("sent");
      await lines.next();
    }
  }
  const metrics = createMetricsLogger();
  metrics.setNamespace(NAMESPACE);
  metrics.setDimensions({ Operation: "many" });
  for (let n = 0; n < 250; n++) metrics.putMetric(`many${n}`, n, Unit.Count);
  for (let n = 0; n < 230; n++) metrics.putMetric("Values", n, Unit.Bytes);
  await metrics.flush();
  await new Promise((resolve) => setTimeout(resolve, 200)); // the library does not say when a socket has sent all
  process.exit();
}

main();
