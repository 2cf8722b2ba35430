"""Monitoring after serving: reads the served log, checks training-serving skew, attributes outcomes to answers."""
