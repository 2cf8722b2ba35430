"""The event gateway: receives entries over gRPC, validates each one, and answers when Kafka has stored them."""
