"""Feature rows in memory: items as columns, scenarios, users' last known rows, and the refresh of all of them."""
