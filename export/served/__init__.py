"""What was answered and what users did, read back from Kafka."""
