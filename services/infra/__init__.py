"""Embedded infrastructure: a real Apache Kafka and a real Valkey out of Python packages, on loopback."""
