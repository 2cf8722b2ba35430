"""What every server process has: gRPC, security, telemetry, health, metrics endpoint, logging, lifecycle."""
