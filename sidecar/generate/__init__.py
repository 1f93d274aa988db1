"""Alarms, dashboards, queries, log groups and permissions from the configuration, checked against what it sends. Pure."""
