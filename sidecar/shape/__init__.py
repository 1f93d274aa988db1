"""What the configuration makes of an event: its series, its log group and stream. Pure."""
