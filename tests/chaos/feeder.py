"""Sends the workload during faults: in order, with retries until Kafka confirms it, and with a bounded backlog."""

import itertools
import threading
from collections.abc import Iterable, Sequence

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

from services.kafka.groups import GroupAdmin
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import OutgoingRecord
from tests.chaos.system import PREFIX, System, wait_for
from tests.chaos.topics import tail
from tests.unit.kafka.publisher_suite import outcomes

CHUNK = 500
"""Most records per publish."""

TIMEOUT_S = 5.0
CATCH_UP_S = 900.0
"""Longest wait for the consumers, seconds; they may have to rebuild all rows."""


class Feeder(threading.Thread):
    """A thread that sends records.

    Args:
        system: the system to send to.
        records: the records, in order.
        backlog: most records that consumers have not committed while more are sent.
        exactly_once: look up stored records before a retry, so that retries add no repeats to the topic.

    `sent` is the number of records that Kafka has confirmed, `resent` the number of records that were sent again,
    `values` the sent values, and `error` the exception that ended the thread early.
    """

    def __init__(self, system: System, records: Iterable[OutgoingRecord], backlog: int, exactly_once: bool) -> None:
        super().__init__(daemon=True)
        self._system, self._records, self._exactly_once = system, iter(records), exactly_once
        self._backlog = backlog
        self._servers = system.settings.kafka.bootstrap_servers
        self._publisher = KafkaPublisher(self._servers, TIMEOUT_S)
        self._admin: KafkaAdminClient | None = None
        self._stopped = threading.Event()
        self.sent = self.resent = 0
        self.values: set[bytes] = set()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while (chunk := list(itertools.islice(self._records, CHUNK))) and not self._stopped.is_set():
                wait_for(self._is_due, "the consumers to catch up", CATCH_UP_S)
                self._send(chunk)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._publisher.close(1.0)
            self._close_admin()

    def stop(self) -> None:
        """Stop after the current chunk."""
        self._stopped.set()

    def _send(self, chunk: Sequence[OutgoingRecord]) -> None:
        left = list(chunk)
        while left and not self._stopped.is_set():
            known = outcomes(self._publisher.send(left, TIMEOUT_S), TIMEOUT_S)
            left = [record for record, outcome in zip(left, known, strict=True) if outcome is not None]
            if left and self._exactly_once:
                self._publisher.close(1.0)
                self._publisher = KafkaPublisher(self._servers, TIMEOUT_S)
                left = self._missing(left)
            self.resent += len(left)
        self.sent += len(chunk)
        self.values |= {record.value for record in chunk}

    def _missing(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """The records that are not stored; waits until Kafka can be read."""
        found: list[set[bytes | None]] = []

        def read_tail() -> bool:
            try:
                found.append(tail(self._servers, f"{PREFIX}.behavior", 2 * CHUNK))
            except (KafkaError, OSError):
                return False
            return True

        wait_for(read_tail, "Kafka to be back")
        return [record for record in records if record.value not in found[0]]

    def _is_due(self) -> bool:
        """Whether the backlog is within its bound; False while it is unknown."""
        self._system.check()
        group, topic = f"{PREFIX}-behavior", f"{PREFIX}.behavior"
        try:
            if self._admin is None:
                self._admin = KafkaAdminClient(bootstrap_servers=self._servers)
            committed = GroupAdmin(self._admin).committed_offsets(group, topic).values()
            specs = {TopicPartition(topic, n): OffsetSpec.LATEST for n in range(self._system.settings.kafka.partitions)}
            ends = self._admin.list_partition_offsets(specs).values()
        except (KafkaError, OSError):
            self._close_admin()
            return False
        return sum(end.offset for end in ends) - sum(committed) <= self._backlog

    def _close_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()
