"""What Kafka refuses permanently: errors that sending again does not mend, and the largest record of each topic.

Knows errors of kafka-python by their names, and no client.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from services.errors import ConfigurationError, CrossRecError, StorageRefused
from services.kafka.connection import KafkaUnavailable
from services.server.logging import log_event

DEFAULT_BYTES = 1024 * 1024
"""The largest record of a topic whose setting is not known: Kafka's default, and the largest request of its client."""

REFRESH_S = 60.0
"""Seconds until the settings of topics are read again."""

BATCH_BYTES = 61 + 21
"""What Kafka adds to a record that is a batch of its own, at most."""

TOO_LARGE = {"MessageSizeTooLargeError", "RecordListTooLargeError"}

_REMEDIES = {
    "TopicAuthorizationFailedError": "the gateway's Kafka user needs the rights to describe it and to write to it",
    "ClusterAuthorizationFailedError": "the gateway's Kafka user needs the right IdempotentWrite on the cluster",
    "InvalidTopicError": "its name is not valid: change kafka.topic_prefix",
    "PolicyViolationError": "a policy of the cluster forbids it",
    "UnsupportedCompressionTypeError": "its compression.type is not supported",
    "UnsupportedForMessageFormatError": "its message format is too old: remove its message.format.version",
    "UnsupportedVersionError": "the brokers are too old",
    "InvalidRecordError": "a broker finds a record invalid",
    "InvalidTimestampError": "a broker finds a record's time invalid: set message.timestamp.type to LogAppendTime",
}
"""Errors that stay until an operator changes something, and what to change."""

_logger = logging.getLogger(__name__)


class RecordTooLarge(CrossRecError):
    """A record is larger than its topic takes; it will not be taken if it is sent again.

    Args:
        topic: the topic.
        size: bytes of the record, with what Kafka adds.
        most: bytes that the topic takes.
    """

    field: ClassVar[str] = "entry"
    """The field at fault, of an entry."""

    def __init__(self, topic: str, size: int, most: int) -> None:
        super().__init__(f"is {size} bytes long as a record, topic {topic} takes at most {most} (max.message.bytes)")


def find_refusal(error: BaseException, topic: str) -> StorageRefused | None:
    """The error as one that sending again does not mend, or None."""
    name = type(error).__name__
    if name not in _REMEDIES:
        return None
    return StorageRefused(f"Kafka refuses to store records in topic {topic} ({name}): {_REMEDIES[name]}")


class RecordLimits:
    """The largest record of each topic, in bytes, as far as is known. Thread-safe.

    Args:
        read: reads the setting of topics; raises KafkaUnavailable or ConfigurationError.
        clock_s: monotonic seconds.
    """

    def __init__(
        self, read: Callable[[Collection[str]], Mapping[str, int]], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock_s = read, clock_s
        self._lock = threading.Lock()
        self._most: dict[str, int] = {}
        self._new, self._unknown = False, set[str]()
        self._read_s = float("-inf")

    def most(self, topic: str) -> int:
        """The largest record that the topic takes; reads nothing."""
        known = self._most.get(topic)
        if known is None:
            with self._lock:
                self._new, known = True, self._most.setdefault(topic, DEFAULT_BYTES)
        return known

    def learn(self, topic: str, size: int) -> int:
        """The topic refused a record of that size; returns the largest that it may take."""
        with self._lock:
            self._most[topic] = min(self._most.get(topic, DEFAULT_BYTES), size - 1)
            return self._most[topic]

    def refresh(self) -> None:
        """Read the settings if topics are new or it is time; what cannot be read stays as it is known."""
        if not (self._new or self._clock_s() - self._read_s >= REFRESH_S) or not self._most:
            return
        self._new, self._read_s = False, self._clock_s()
        asked = set(self._most)
        try:
            found = self._read(sorted(asked))
        except (KafkaUnavailable, ConfigurationError) as error:
            log_event(_logger, "record_limits_unknown", level=logging.WARNING, reason=str(error))
            return
        if (unknown := asked - set(found)) - self._unknown:
            self._unknown = unknown
            reason = f"no such topics, or the right DescribeConfigs is missing: {', '.join(sorted(unknown))}"
            log_event(_logger, "record_limits_unknown", level=logging.WARNING, reason=reason)
        with self._lock:
            self._most |= {topic: min(most, DEFAULT_BYTES) for topic, most in found.items()}
