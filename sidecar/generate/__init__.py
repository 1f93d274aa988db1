"""Alarms, dashboards, queries, groups and permissions out of the configuration, checked against what it sends. Pure."""
