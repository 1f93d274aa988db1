// An application that calls PutMetricData and CloudWatch Logs with the SDK for JavaScript v3; see python/sdk.py.
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const { CloudWatchClient, PutMetricDataCommand, InvalidParameterValueException } = require("@aws-sdk/client-cloudwatch");
const {
  CloudWatchLogsClient, CreateLogGroupCommand, CreateLogStreamCommand, PutLogEventsCommand, PutRetentionPolicyCommand,
  ResourceAlreadyExistsException,
} = require("@aws-sdk/client-cloudwatch-logs");

const { NAMESPACE, GROUP, ROUNDS = "50" } = process.env;
const cloudwatch = new CloudWatchClient({}), logs = new CloudWatchLogsClient({});
const milliseconds = [], errors = [];

async function put(MetricData) {
  const began = performance.now();
  await cloudwatch.send(new PutMetricDataCommand({ Namespace: NAMESPACE, MetricData }));
  milliseconds.push(performance.now() - began);
}

for (let n = 0; n < Number(ROUNDS); n++) {
  await put([
    {
      MetricName: "Latency", Dimensions: [{ Name: "Service", Value: "shop & co" }], Value: 245.5 + n,
      Unit: "Milliseconds", Timestamp: new Date(), StorageResolution: 1,
    },
    { MetricName: "Stats", StatisticValues: { SampleCount: 3, Sum: 6, Minimum: 1, Maximum: 3 } },
    { MetricName: "Dist", Values: [1, 2.5], Counts: [3, 4] },
  ]);
}
await put([...Array(200).keys()].map((n) => (
  { MetricName: "Many", Dimensions: [{ Name: "Number", Value: `number-${n}` }], Value: n, Unit: "Count" }
)));
try {
  await cloudwatch.send(new PutMetricDataCommand({
    Namespace: NAMESPACE, MetricData: [{ MetricName: "Bad", Value: 1, Unit: "Parsecs" }],
  }));
} catch (error) {
  if (error instanceof InvalidParameterValueException) errors.push(error.name);
}

await logs.send(new CreateLogGroupCommand({ logGroupName: GROUP }));
await logs.send(new PutRetentionPolicyCommand({ logGroupName: GROUP, retentionInDays: 30 }));
await logs.send(new CreateLogStreamCommand({ logGroupName: GROUP, logStreamName: "app" }));
try {
  await logs.send(new CreateLogGroupCommand({ logGroupName: GROUP }));
} catch (error) {
  if (error instanceof ResourceAlreadyExistsException) errors.push(error.name);
}
const now = Date.now();
await logs.send(new PutLogEventsCommand({
  logGroupName: GROUP, logStreamName: "app",
  logEvents: [...Array(10).keys()].map((n) => ({ timestamp: now + n, message: `line ${n} ü` })),
}));
milliseconds.sort((a, b) => a - b);
console.log(JSON.stringify({ calls: milliseconds.length, milliseconds: milliseconds[milliseconds.length >> 1], errors }));
