"""Who may connect and call: TLS, bearer tokens and scopes of the servers; how Kafka and the store are reached."""
