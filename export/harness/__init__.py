"""Sets a stage of real processes and data for demo, benchmarks and tests."""
