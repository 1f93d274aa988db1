"""Amazon CloudWatch and CloudWatch Logs as destinations."""
