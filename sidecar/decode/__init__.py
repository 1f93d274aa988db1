"""Bytes to samples and log events. Pure."""
