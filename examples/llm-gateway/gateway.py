"""A gateway to language models that posts CloudWatch's own JSON and log lines; the standard library is enough."""

import json
import os
import random
from urllib.request import Request, urlopen

INGEST_URL = os.environ.get("INGEST_URL", "http://localhost:8127")


def post(path: str, body: bytes) -> None:
    """Post JSON; 202 says that the sidecar has it, and delivers it."""
    with urlopen(Request(INGEST_URL + path, body, {"Content-Type": "application/json"}), timeout=5):
        pass


def metric(name: str, value: float, unit: str, **dimensions: str) -> None:
    """One datum, in the words of CloudWatch."""
    pairs = [{"Name": key, "Value": text} for key, text in dimensions.items()]
    datum = {"Namespace": "AxonFlow", "MetricName": name, "Dimensions": pairs, "Value": value, "Unit": unit}
    post("/ingest/metrics", json.dumps(datum).encode())


def complete(prompt: str, model: str) -> str:
    """Answer a prompt, and tell what that took."""
    latency = random.uniform(100.0, 900.0)  # noqa: S311  # stands for the call of a model
    metric("Latency", latency, "Milliseconds", Model=model, Environment="production")
    metric("TokensUsed", len(prompt.split()), "Count", Model=model)
    lines = [
        {"message": "request received", "service": "gateway", "model": model},
        {"message": "request completed", "service": "gateway", "model": model, "latency_ms": round(latency)},
    ]
    post("/ingest/logs", b"\n".join([json.dumps(line).encode() for line in lines]))  # one event a line
    return f"{model} says hello"


for number in range(20):
    complete(f"prompt number {number}", ("sonnet", "haiku")[number % 2])
