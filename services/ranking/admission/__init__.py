"""Which requests are let in and in which order: a limit that adapts to waiting, priorities, a queue."""
