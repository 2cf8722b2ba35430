"""Entries (events and updates) as they travel: their rules, their bytes on Kafka, and where they go.

Shared by the gateway, which stores entries, and the consumers, which read them. Pure: knows nothing of gRPC,
Kafka clients or features.
"""
