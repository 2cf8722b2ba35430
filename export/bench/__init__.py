"""Benchmarks of the running system on real data: every process and both stores are the real ones."""
