"""Hanging transactions of a killed Kafka: the coordinator has ended them, but their markers were never written.

A single node that restarts is fenced for a moment, because its old registration must time out. Its transaction
coordinator takes partitions without a leader for deleted ones (Kafka 4.3), and completes a transaction without writing
its markers. Readers of committed records then wait for the markers without limit, and so do groups for offsets in the
transaction. The coordinator still knows the outcome (commit or abort), so the markers can be written afterwards.
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

ENDED_STATES = {"CompleteCommit": True, "CompleteAbort": False}
"""States of an ended transaction, and whether it was committed."""

PAUSE_S = 0.05
"""Seconds between two attempts."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction without an end marker in a partition."""

    partition: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    first_offset: int
    """Of the transaction, in the partition."""


class _MarkerAdmin(KafkaAdminClient):  # type: ignore[misc]
    """An admin client that can also write commit markers; Kafka's own tools write abort markers only."""

    def write_marker(self, hanging: OpenTransaction, *, commit: bool) -> None:
        """Write a transaction's end marker to its partition; raises the error of the partition's leader."""
        marker = WriteTxnMarkersRequest.WritableTxnMarker
        topic, number = hanging.partition
        target = marker.WritableTxnMarkerTopic(name=topic, partition_indexes=[number])
        request = WriteTxnMarkersRequest(
            markers=[
                marker(
                    producer_id=hanging.producer_id,
                    producer_epoch=hanging.producer_epoch,
                    transaction_result=commit,
                    topics=[target],
                    coordinator_epoch=hanging.coordinator_epoch,
                )
            ]
        )
        self._manager.run(self._send_marker, request, hanging)

    async def _send_marker(self, request: WriteTxnMarkersRequest, hanging: OpenTransaction) -> None:
        (leader,) = await self._async_get_leader_for_partitions([hanging.partition])
        self._abort_transaction_process_response(await self._manager.send(request, node_id=leader), hanging)


def finish_hanging_transactions(kafka: Kafka, timeout_s: float) -> int:
    """Write the missing markers of hanging transactions; returns how many.

    Waits up to `timeout_s` seconds for coordinators that are still loading. Transactions that no coordinator knows by
    then are left as they are and logged. Raises InfraFailed if Kafka does not answer.
    """
    written, unknown = 0, set[int]()
    failure: Exception | None = None

    def try_once() -> bool:
        nonlocal written, unknown, failure
        try:
            with _MarkerAdmin(**kafka_arguments(kafka)) as admin:
                before = _list_open(admin)
                states = _transaction_states(admin, before)
                # Open before and after its end was seen: neither one that has just ended, nor the producer's next.
                for hanging in set(before) & set(_list_open(admin) if before else ()):
                    if (commit := ENDED_STATES.get(states.get(hanging.producer_id, ""))) is not None:
                        admin.write_marker(hanging, commit=commit)
                        written += 1
        except kafka_errors.KafkaError as error:  # a partition that is still loading
            failure = error
            return False
        # A coordinator that is still loading lists nothing.
        unknown, failure = {each.producer_id for each in before} - states.keys(), None
        return not unknown

    deadline = time.monotonic() + timeout_s
    while not (known := try_once()) and time.monotonic() <= deadline:
        time.sleep(PAUSE_S)
    if not known:
        if failure:
            raise InfraFailed(f"Kafka does not list the open transactions: {failure!r}") from failure
        log_event(_logger, "hanging_transactions_unknown", level=logging.WARNING, producers=sorted(unknown))
    if written:
        log_event(_logger, "hanging_transactions_finished", level=logging.WARNING, markers=written)
    return written


def _transaction_states(admin: KafkaAdminClient, transactions: Sequence[OpenTransaction]) -> dict[int, str]:
    """The state of each producer's newest transaction, where a coordinator knows it."""
    producers = sorted({each.producer_id for each in transactions})
    if not producers:
        return {}
    listed = admin.list_transactions(producer_id_filters=producers)
    return {each.producer_id: each.state.value for transactions in listed.values() for each in transactions}


def _list_open(admin: KafkaAdminClient) -> Sequence[OpenTransaction]:
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
