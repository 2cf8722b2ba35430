"""Replays the event history through the features' own code: training rows, offline rows, a filled store."""
