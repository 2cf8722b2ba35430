"""Dead letters: records that can never be folded. How they are written, read back, repaired and replayed."""
