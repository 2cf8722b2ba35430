"""Trains models of any kind on replayed rows: the training loop, checkpoints, runs, and the command."""
