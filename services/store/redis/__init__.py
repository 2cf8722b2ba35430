"""The online store on Redis or Valkey: connections, Feast's layout of rows, fenced writes, the change feed."""
