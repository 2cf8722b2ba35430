"""Data sets: adapters that convert a source to the events, items and scenarios tables, and their storage."""
