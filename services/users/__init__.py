"""The rights of a user over the own data: export and erasure."""
