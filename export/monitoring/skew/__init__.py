"""Training-serving skew: features as they were served against the replay's for the same requests."""
