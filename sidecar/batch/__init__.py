"""Measurements and log events to batches the size of a request. Pure."""
