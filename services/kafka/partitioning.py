"""Which partition a key belongs to, as all of Kafka's own clients see it."""

from collections.abc import Collection


def partition_of(partition_key: bytes, partitions: Collection[int]) -> int:
    """The partition that Kafka's default partitioner gives a record whose key is `partition_key`."""
    # Imported here, so that tests and whoever stores nothing do not load the client.
    from kafka.partitioner.default import murmur2

    numbers = sorted(partitions)
    digest: int = murmur2(partition_key)
    return numbers[(digest & 0x7FFFFFFF) % len(numbers)]
