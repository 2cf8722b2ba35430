"""Entries (events and updates): validation rules, encoding as Kafka records, and routing to topics.

Shared by the gateway, which writes entries, and the consumers, which read them. Pure: knows nothing of gRPC,
Kafka clients or features.
"""
