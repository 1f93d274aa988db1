// A service that reports what its endpoints and models cost with the AWS SDK for JavaScript v3.
import { CloudWatchClient, PutMetricDataCommand, type MetricDatum } from "@aws-sdk/client-cloudwatch";

const cloudwatch = new CloudWatchClient({});

function datum(name: string, value: number, unit: MetricDatum["Unit"], dimensions: Record<string, string>): MetricDatum {
  const pairs = Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }));
  return { MetricName: name, Value: value, Unit: unit, Dimensions: pairs };
}

async function handle(endpoint: string, modelId: string, tokens: number, milliseconds: number): Promise<void> {
  await cloudwatch.send(new PutMetricDataCommand({
    Namespace: "Service",
    MetricData: [
      datum("EndpointLatency", milliseconds, "Milliseconds", { Endpoint: endpoint, Environment: "production" }),
      datum("TokensUsed", tokens, "Count", { ModelId: modelId, FeatureType: "chat" }),
    ],
  }));
}

for (let request = 0; request < 30; request++) {
  await handle(request % 2 ? "/chat" : "/search", "claude-sonnet", 100 + request, 40 + request);
}
