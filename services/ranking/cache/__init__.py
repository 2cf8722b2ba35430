"""Rows that requests find in memory: items as columns, scenarios, last known users, and their refresh."""
