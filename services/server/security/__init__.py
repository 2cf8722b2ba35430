"""TLS, bearer tokens and scopes of the gRPC servers; pseudonyms of user ids."""
