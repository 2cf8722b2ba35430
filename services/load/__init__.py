"""The load client: sends requests to a ranking server on a fixed schedule (open loop) and measures the answers."""
