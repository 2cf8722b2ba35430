"""The processes of a ranking server: workers, the supervisor that starts and replaces them, their metrics."""
