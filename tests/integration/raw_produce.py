"""Batches sent to a Kafka byte for byte, as a client of any making may send them."""

import socket
import struct

from tests.waiting import wait_until

NOT_YET = {3, 6}
"""A topic that was just made has no partition, or no leader, yet."""


class ProduceFailed(AssertionError):
    """The broker refused a batch; the number is Kafka's error code."""


def produce_raw(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    """Store a batch; returns its first offset. The broker must lead the partition, or be about to."""
    answers: list[tuple[int, int]] = []

    def is_answered() -> bool:
        answers.append(_produce(bootstrap, topic, partition, batch))
        return answers[-1][0] not in NOT_YET

    wait_until(is_answered, interval_s=0.1, what="the partition's leader")
    error, offset = answers[-1]
    if error:
        raise ProduceFailed(f"error {error}")
    return offset


def _produce(bootstrap: str, topic: str, partition: int, batch: bytes) -> tuple[int, int]:
    """Kafka's error code, 0 for none, and the first offset."""
    name = topic.encode()
    body = struct.pack(">hhi", -1, -1, 30_000)  # no transaction, all replicas, milliseconds
    body += struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    request = struct.pack(">hhih", 0, 7, 1, -1) + body  # Produce, version 7, correlation id, no client id
    host, _, port = bootstrap.partition(":")
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        answer = connection.recv(size, socket.MSG_WAITALL)
    # Correlation id, one topic with its name, one partition with its number: then error and offset.
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(name) + 4 + 4)
    return int(error), int(offset)
