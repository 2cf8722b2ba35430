"""The load client: offers requests to a ranking server on a schedule of its own, and measures the answers."""
