"""Feature consumers: fold Kafka's topics into the online store; each kind is a consumer group of its own."""
