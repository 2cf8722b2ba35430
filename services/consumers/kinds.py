"""The kinds of consumer and the topic that each folds."""

TOPICS = {"behavior": "behavior", "item": "items", "scenario": "scenarios", "activity": "activity"}
"""Kind to topic suffix."""

KINDS = tuple(TOPICS)
