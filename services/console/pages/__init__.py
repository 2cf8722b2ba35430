"""The pages: lay out what the functions of services.console return, and pass on what users enter."""
