"""`crossrec doctor`: checks that this machine and the configured services fulfil the settings."""
