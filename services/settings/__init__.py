"""Every setting, with unit and default: a class per table of the settings file, and how they are loaded."""
