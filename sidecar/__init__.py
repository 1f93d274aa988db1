"""CloudWatch sidecar: metric and log events in, CloudWatch statistic sets and log batches out."""

__version__ = "0.1.0"
