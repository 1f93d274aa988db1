"""Samples to windows of accumulators. Pure.

Every accumulator keeps one promise with the hot path: it takes samples while the time is before `until`, and
`take()` empties it and sets `until` to zero, so that nobody who still holds it adds to what was already sent.
"""
