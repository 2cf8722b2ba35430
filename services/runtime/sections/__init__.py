"""The tables of the settings file, one class each."""
