"""Passing over a batch that cannot be read, at which a partition stands: it becomes a dead letter as it is.

The consumers of the kind must be stopped. Interrupted, it can be run again; the dead letter may then be there twice.
"""

from dataclasses import replace

from services.consumers.dead_letters.record import DeadLetter
from services.consumers.dead_letters.topic import dead_letter_topic
from services.consumers.rewind import open_marks, require_stopped
from services.errors import ConfigurationError
from services.features.schema import build_schema
from services.kafka.exclusive_writer import open_exclusive_writer
from services.kafka.groups import open_group_admin
from services.kafka.reader import open_reader
from services.kafka.unreadable import UnreadableBatch
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS
from services.store.protocol import RowStore


def skip_batch(settings: Settings, rows: RowStore, kind: str, partition: int, to: int | None = None) -> UnreadableBatch:
    """Have a kind of consumer continue behind the unreadable batch at its committed offset; returns the batch.

    Args:
        settings: Kafka and the consumer groups.
        rows: the online store, which marks the batch as folded.
        kind: kind of consumer.
        partition: number of the partition that stands.
        to: the offset to continue from; None: the one after the batch, which its header must name.

    Raises:
        ConfigurationError: Consumers are running, or there is nothing to skip.
        KafkaUnavailable, StoreUnavailable.
    """
    if kind not in CONSUMED_TOPICS:
        raise ConfigurationError(f"kind: {kind}: choose one of {', '.join(CONSUMED_TOPICS)}")
    group, topic = settings.group(kind), settings.topic(kind)
    require_stopped(settings, (kind,))
    with open_group_admin(settings.kafka) as admin, open_reader(settings.kafka) as reader:
        if partition not in reader.partitions(topic):
            raise ConfigurationError(f"partition: {topic} has no partition {partition}")
        committed = admin.committed_offsets(group, topic).get(partition, 0)
        offset = max(committed, reader.beginning_offsets(topic)[partition])
        batch = reader.unreadable_at(topic, partition, offset)
        if batch is None:
            raise ConfigurationError(
                f"partition: {topic}, partition {partition}, can be read at offset {offset}, up to which it is folded: "
                "nothing to skip"
            )
        after, end = batch.next_offset if to is None else to, reader.end_offsets(topic)[partition]
        if after is None:
            raise ConfigurationError(f"to: the batch's header is damaged: give an offset from {offset + 1} to {end}")
        if not offset < after <= end:
            raise ConfigurationError(f"to: {after}: choose an offset from {offset + 1} to {end}")
        skipped = replace(batch, next_offset=after)
        record = skipped.as_record()
        with open_exclusive_writer(settings.kafka, f"{group}-skip") as writer:
            writer.write([DeadLetter(record, record.unreadable).output(dead_letter_topic(settings))])
        open_marks(settings, build_schema(settings.features), rows, kind).record({partition: after})
        admin.set_offset(group, topic, partition, after)
    return skipped
