"""The online store: reads, writes and deletes rows of the schema's views by entity ids."""
