"""What the daemon takes, side by side with a loop that only receives.  `python -m benchmarks`."""
