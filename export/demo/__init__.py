"""The demo: the main job on real data, with every process a real one, and its result checked."""
