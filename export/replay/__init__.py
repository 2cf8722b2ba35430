"""Replay of the event history through the online feature code: training rows, offline rows and backfill."""
