"""Evaluates trained models on replayed rows: metrics with intervals, paired differences, and an HTML report."""
