"""Everything that speaks Kafka's client protocol: connections, topics, consumer, groups, transactions, producers.

Errors of Kafka's client leave this package as errors of CrossRec's error tree.
"""
