"""The ranking server: one request path, read as a list of stages in pipeline.py."""
