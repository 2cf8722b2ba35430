"""Feature consumers: fold Kafka's topics into the online store, a process and consumer group per kind."""
