"""Transactions that a killed Kafka left torn: decided, and never told to the partitions that they wrote to.

A single node that restarts is fenced for a moment, because its old registration has to time out. Its transaction
coordinator takes partitions without a leader for deleted ones (Kafka 4.3), and calls a transaction complete whose
markers it has not written. Readers of committed records then wait for them for good, and so do groups for the offsets
in it. What was decided is known, so the markers can be written after all.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka import errors as kafka_errors
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from services.runtime.errors import InfraFailed
from services.runtime.infra.process import wait_until
from services.runtime.logging import log_event
from services.runtime.security.connections import kafka_arguments

DECIDED = {"CompleteCommit": True, "CompleteAbort": False}
"""States of a transaction that has ended, and whether it was committed."""

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


def mend_torn_transactions(bootstrap_servers: str, timeout_s: float) -> int:
    """Write the markers that are missing; returns how many.

    Raises InfraFailed if Kafka does not answer all that must be asked within the time.
    """
    mended = 0
    failure: Exception | None = None

    def done() -> bool:
        nonlocal mended, failure
        try:
            with _Admin(**kafka_arguments(bootstrap_servers)) as admin:
                for torn, commit in list(_torn(admin)):
                    admin.write_marker(torn, commit=commit)
                    mended += 1
        except kafka_errors.KafkaError as error:  # a coordinator or partition that is still loading
            failure = error
            return False
        return True

    if not wait_until(done, timeout_s):
        raise InfraFailed(f"Kafka does not say which transactions are open: {failure!r}")
    if mended:
        log_event(_logger, "torn_transactions_mended", level=logging.WARNING, markers=mended)
    return mended


def _torn(admin: KafkaAdminClient) -> Iterator[tuple[OpenTransaction, bool]]:
    """Open transactions that have ended, and whether they were committed."""
    before = _open(admin)
    if not before:
        return
    states = {
        listed.producer_id: listed.state.value
        for transactions in admin.list_transactions(
            producer_id_filters=sorted({each.producer_id for each in before})
        ).values()
        for listed in transactions
    }
    # Open before and after its end was seen, so not one that has just ended, nor the producer's next.
    after = set(_open(admin))
    for each in before:
        if each in after and (commit := DECIDED.get(states.get(each.producer_id, ""))) is not None:
            yield each, commit


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
