"""Trains preference and transfer models on replayed rows, evaluates them and exports them for serving."""
