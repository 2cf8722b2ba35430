"""Training-serving skew: compares served features with the replay's for the same requests."""
