"""Batches to AWS, or to the local store. `retry` is pure."""
