"""The online store behind read and write verbs: rows of the schema's views by entity ids."""
