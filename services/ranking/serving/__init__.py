"""Which models serve, and what becomes of it at run time: the plan, the watcher, the split, the shadow."""
