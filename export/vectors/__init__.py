"""Learns vectors of items from the events of a data set, period by period."""
