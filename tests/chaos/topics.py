"""Reads topics of the campaign: all records as the consumers do, or the newest stored records."""

from kafka import KafkaConsumer, TopicPartition

from services.consumers.observer import ConsumerObserver
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from services.kafka.record_source import Record
from tests.chaos.system import CampaignFailed

QUIET_POLLS = 3


def read(bootstrap: str, topic: str) -> list[Record]:
    """Every committed record, by partition and offset; read by the consumers' reader, in a separate group."""
    log = KafkaRecordSource(
        KafkaRecordSourceConfig(
            bootstrap, f"reader-of-{topic}", topic, 5000, session_timeout_ms=10_000, transaction_timeout_ms=10_000
        ),
        ConsumerObserver("reader"),
    )
    records: list[Record] = []
    quiet = 0
    try:
        while quiet < QUIET_POLLS:
            batch = log.poll(0.5)
            quiet = 0 if batch else quiet + 1
            records += batch
    finally:
        log.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def tail(bootstrap: str, topic: str, count: int) -> set[bytes | None]:
    """The values of the newest `count` records of every partition, committed or not."""
    with KafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        for partition, end in ends.items():
            consumer.seek(partition, max(0, end - count))
        values: set[bytes | None] = set()
        for _ in range(100):
            if all(consumer.position(partition) >= end for partition, end in ends.items()):
                return values
            values |= {record.value for records in consumer.poll(500).values() for record in records}
    raise CampaignFailed(f"the tail of {topic} cannot be read")
