"""Dead letters: records that cannot be folded; written, parsed, repaired and replayed."""
