"""Requests as operators follow them: an id for each, and OpenTelemetry traces where a collector is named."""
