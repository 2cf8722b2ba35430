"""Experiments: models trained repeatedly on the same rows, to measure transfer, sources and feature groups."""
