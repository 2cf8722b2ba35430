"""Measures trained models on replayed rows: metrics with intervals, comparisons and a report for people."""
