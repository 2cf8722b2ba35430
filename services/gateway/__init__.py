"""The event gateway: takes entries over gRPC, judges them one by one, and answers when Kafka has stored them."""
