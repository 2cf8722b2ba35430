"""`crossrec doctor`: whether this machine and what the settings name can do what the settings ask for."""
