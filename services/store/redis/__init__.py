"""What speaks to Redis or Valkey: connections, Feast's layout of rows, fenced writes, change notifications."""
