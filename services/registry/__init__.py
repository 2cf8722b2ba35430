"""The model registry: its format, reading, writing, rollout and promotion. Knows no server and no graph."""
