"""Offline half: data sets, replay, training, evaluation and export of models."""
