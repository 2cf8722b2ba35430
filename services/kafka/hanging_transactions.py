"""Transactions that a killed Kafka left torn: decided, and never told to the partitions that they wrote to.

A single node that restarts is fenced for a moment, because its old registration has to time out. Its transaction
coordinator takes partitions without a leader for deleted ones (Kafka 4.3), and calls a transaction complete whose
markers it has not written. Readers of committed records then wait for them for good, and so do groups for the offsets
in it. What was decided is known, so the markers can be written after all.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka import errors as kafka_errors
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from services.errors import InfraFailed
from services.kafka.connection import Kafka, kafka_arguments
from services.server.logging import log_event

DECIDED = {"CompleteCommit": True, "CompleteAbort": False}
"""States of a transaction that has ended, and whether it was committed."""

PAUSE_S = 0.05
"""Seconds between two looks."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that a partition knows no end of."""

    partition: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    begins_at: int
    """Its first offset in the partition."""


class _Admin(KafkaAdminClient):  # type: ignore[misc]
    """An admin client that can also write the marker of a commit; Kafka's tools only abort."""

    def write_marker(self, torn: OpenTransaction, *, commit: bool) -> None:
        """Raises what the partition's leader says against it."""
        marker = WriteTxnMarkersRequest.WritableTxnMarker
        topic = marker.WritableTxnMarkerTopic(name=torn.partition.topic, partition_indexes=[torn.partition.partition])
        request = WriteTxnMarkersRequest(
            markers=[
                marker(
                    producer_id=torn.producer_id,
                    producer_epoch=torn.producer_epoch,
                    transaction_result=commit,
                    topics=[topic],
                    coordinator_epoch=torn.coordinator_epoch,
                )
            ]
        )
        self._manager.run(self._send_marker, request, torn)

    async def _send_marker(self, request: WriteTxnMarkersRequest, torn: OpenTransaction) -> None:
        (leader,) = await self._async_get_leader_for_partitions([torn.partition])
        self._abort_transaction_process_response(await self._manager.send(request, node_id=leader), torn)


def finish_hanging_transactions(kafka: Kafka, timeout_s: float) -> int:
    """Write the markers that are missing; returns how many.

    Waits for coordinators that are still loading. Transactions of which none knows within the time are left alone, and
    the log says so. Raises InfraFailed if Kafka does not answer.
    """
    mended, unknown = 0, set[int]()
    failure: Exception | None = None

    def done() -> bool:
        nonlocal mended, unknown, failure
        try:
            with _Admin(**kafka_arguments(kafka)) as admin:
                before = _open(admin)
                states = _states(admin, before)
                # Open before and after its end was seen, so not one that has just ended, nor the producer's next.
                for torn in set(before) & set(_open(admin) if before else ()):
                    if (commit := DECIDED.get(states.get(torn.producer_id, ""))) is not None:
                        admin.write_marker(torn, commit=commit)
                        mended += 1
        except kafka_errors.KafkaError as error:  # a partition that is still loading
            failure = error
            return False
        # A coordinator that is still loading lists nothing.
        unknown, failure = {each.producer_id for each in before} - states.keys(), None
        return not unknown

    deadline = time.monotonic() + timeout_s
    while not (known := done()) and time.monotonic() <= deadline:
        time.sleep(PAUSE_S)
    if not known:
        if failure:
            raise InfraFailed(f"Kafka does not say which transactions are open: {failure!r}") from failure
        log_event(_logger, "transactions_unknown", level=logging.WARNING, producers=sorted(unknown))
    if mended:
        log_event(_logger, "torn_transactions_mended", level=logging.WARNING, markers=mended)
    return mended


def _states(admin: KafkaAdminClient, transactions: Sequence[OpenTransaction]) -> dict[int, str]:
    """The state of each producer's newest transaction, as far as coordinators know it."""
    producers = sorted({each.producer_id for each in transactions})
    if not producers:
        return {}
    listed = admin.list_transactions(producer_id_filters=producers)
    return {each.producer_id: each.state.value for transactions in listed.values() for each in transactions}


def _open(admin: KafkaAdminClient) -> Sequence[OpenTransaction]:
    partitions = [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in admin.describe_topics()
        for partition in topic["partitions"]
    ]
    return [
        OpenTransaction(
            partition,
            producer.producer_id,
            producer.producer_epoch,
            producer.coordinator_epoch,
            producer.current_transaction_start_offset,
        )
        for partition, state in admin.describe_producers(partitions).items()
        for producer in state.active_producers
        if producer.current_transaction_start_offset >= 0
    ]
