"""An application that reports each call of a model with boto3, as it would to CloudWatch itself."""

import boto3

cloudwatch = boto3.client("cloudwatch")


def report(model_id: str, input_tokens: int, output_tokens: int, latency_ms: float) -> None:
    """Three metrics, one call of PutMetricData: a request to CloudWatch each time, or once a minute by the sidecar."""
    dimensions = [{"Name": "ModelId", "Value": model_id}, {"Name": "Environment", "Value": "production"}]
    cloudwatch.put_metric_data(
        Namespace="ModelCalls",
        MetricData=[
            {"MetricName": "InputTokens", "Dimensions": dimensions, "Value": input_tokens, "Unit": "Count"},
            {"MetricName": "OutputTokens", "Dimensions": dimensions, "Value": output_tokens, "Unit": "Count"},
            {
                "MetricName": "InferenceLatencyMs",
                "Dimensions": dimensions,
                "Value": latency_ms,
                "Unit": "Milliseconds",
            },
        ],
    )


for number in range(40):
    report("anthropic.claude-sonnet", 100 + number, 20 + number, 250.0 + 10 * number)
