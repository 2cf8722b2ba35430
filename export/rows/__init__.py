"""Training rows in Parquet: requests and their feature rows, writing, batched reading, and selection."""
