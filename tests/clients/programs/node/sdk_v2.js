// An application that calls PutMetricData and CloudWatch Logs with the SDK for JavaScript v2; see python/sdk.py.
// This SDK reads no endpoint from the environment: it is an argument.
process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = "1";
const AWS = require("aws-sdk");

const { NAMESPACE, GROUP, ROUNDS = "50", AWS_ENDPOINT_URL_CLOUDWATCH, AWS_ENDPOINT_URL_CLOUDWATCH_LOGS } = process.env;
const cloudwatch = new AWS.CloudWatch({ endpoint: AWS_ENDPOINT_URL_CLOUDWATCH });
const logs = new AWS.CloudWatchLogs({ endpoint: AWS_ENDPOINT_URL_CLOUDWATCH_LOGS });
const milliseconds = [], errors = [];

async function put(MetricData) {
  const began = performance.now();
  await cloudwatch.putMetricData({ Namespace: NAMESPACE, MetricData }).promise();
  milliseconds.push(performance.now() - began);
}

async function main() {
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
    await cloudwatch.putMetricData({
      Namespace: NAMESPACE, MetricData: [{ MetricName: "Bad", Value: 1, Unit: "Parsecs" }],
    }).promise();
  } catch (error) {
    errors.push(error.code);
  }

  await logs.createLogGroup({ logGroupName: GROUP }).promise();
  await logs.putRetentionPolicy({ logGroupName: GROUP, retentionInDays: 30 }).promise();
  await logs.createLogStream({ logGroupName: GROUP, logStreamName: "app" }).promise();
  try {
    await logs.createLogGroup({ logGroupName: GROUP }).promise();
  } catch (error) {
    errors.push(error.code);
  }
  const now = Date.now();
  await logs.putLogEvents({
    logGroupName: GROUP, logStreamName: "app",
    logEvents: [...Array(10).keys()].map((n) => ({ timestamp: now + n, message: `line ${n} ü` })),
  }).promise();
  milliseconds.sort((a, b) => a - b);
  console.log(JSON.stringify({ calls: milliseconds.length, milliseconds: milliseconds[milliseconds.length >> 1], errors }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
