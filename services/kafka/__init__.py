"""Everything that speaks Kafka's client protocol: connections, topics, consumer, transactions, producers, readers."""
