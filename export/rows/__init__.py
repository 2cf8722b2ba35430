"""Training rows in Parquet: written by the replay, read in batches, selected by runs."""
