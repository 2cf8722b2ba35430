"""After serving: the served log read back, training-serving skew, and what became of what was shown."""
