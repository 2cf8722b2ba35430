"""The base of every server process: gRPC, security, telemetry, health, metrics endpoint, logging, lifecycle."""
