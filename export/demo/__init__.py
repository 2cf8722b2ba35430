"""The demo: the whole pipeline on real data with real processes; it checks its own result."""
