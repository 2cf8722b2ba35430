"""Harness: real infrastructure, processes and data for the demo, the benchmarks and the parity tests."""
