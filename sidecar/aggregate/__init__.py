"""Samples to windows of accumulators. Pure.

Every accumulator accepts samples while the time is before `until`. `take()` empties it and sets `until` to zero, so that
no reference to it adds to what was already sent.
"""
