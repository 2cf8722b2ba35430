"""Request ids, and OpenTelemetry traces if a collector is configured."""
