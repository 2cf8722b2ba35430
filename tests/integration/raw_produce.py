"""Batches sent to a Kafka byte for byte, as a client of any making may send them."""

import socket
import struct


class ProduceFailed(AssertionError):
    """The broker refused a batch; the number is Kafka's error code."""


def produce_raw(bootstrap: str, topic: str, partition: int, batch: bytes) -> int:
    """Store a batch; returns its first offset. The broker must lead the partition."""
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
    if error:
        raise ProduceFailed(f"error {error}")
    return int(offset)
