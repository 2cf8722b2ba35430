"""Experiments on what transfer between scenarios and what features bring: the same rows, fitted again and again."""
