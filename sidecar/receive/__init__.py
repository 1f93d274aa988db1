"""Bytes arrive. Receivers know nothing of what the bytes mean: they hand them to a callable."""
