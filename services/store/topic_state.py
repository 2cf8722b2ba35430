"""The state of a topic in the store: the topic whose positions the rows hold, and the offsets it is folded from.

A topic that was re-created, or got more partitions, would be miscounted silently: old offsets would hide new records,
and keys would move to other partitions, where their positions say nothing. So the store records the topic's identity
and refuses another one under the same epoch. Knows no Kafka.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from services.errors import TopicChanged
from services.features.rows import pack_rows
from services.features.schema import Schema
from services.kafka.topics import TopicIdentity
from services.store.protocol import RowsLost, RowStore, read_rows


def check_topic(
    store: RowStore, schema: Schema, topic: TopicIdentity, epoch: int, committed: Mapping[int, int] | None = None
) -> list[int]:
    """The offsets per partition from which the topic is folded into the rows.

    A topic that is new to the store, or has a higher epoch, is recorded. Raises TopicChanged for another topic under
    the same epoch, or a lower epoch; RowsLost if the store has none and records were committed; StoreUnavailable.

    Args:
        store: where the topic is recorded.
        schema: the feature schema.
        topic: the topic as Kafka describes it.
        epoch: the configured one.
        committed: the committed offset of each assigned partition.
    """
    view = schema["topic_state"]
    (row,) = read_rows(store, view, [(topic.name,)])
    known = None if row is None else int(row["position"][0])
    if row is None and any((committed or {}).values()):
        raise RowsLost(f"the store has no state of topic {topic.name}, of which records were committed as folded")
    if row is None or known is None or known < epoch:
        return record_topic(store, schema, topic, epoch, [0] * topic.partitions)
    if known > epoch:
        raise TopicChanged(
            topic.name, f"the rows hold epoch {known}, kafka.topic_epoch is {epoch}: raise it to {known}"
        )
    if str(row["topic_id"]) != topic.topic_id:
        raise TopicChanged(
            topic.name,
            "it was re-created: the rows hold positions of its predecessor. Fold the rest of the predecessor, or give "
            f"it up; then set kafka.topic_epoch to {epoch + 1}, and all records count as new",
        )
    if int(row["partitions"]) != topic.partitions:
        raise TopicChanged(
            topic.name,
            f"it has {topic.partitions} partitions, the rows were folded from {int(row['partitions'])}, and keys have "
            f"moved. Let the consumers reach the end under the old number of partitions; then set kafka.partitions to "
            f"{topic.partitions} and kafka.topic_epoch to {epoch + 1}",
        )
    return [int(offset) for offset in row["from_offsets"]]


def record_topic(
    store: RowStore, schema: Schema, topic: TopicIdentity, epoch: int, offsets: Sequence[int], *, marked: bool = False
) -> list[int]:
    """Record the topic, and that records below `offsets` (one per partition) are not folded.

    `marked`: whether every partition has a mark of what is folded (`folded_offsets`), so that a missing one is a loss.
    """
    values = {
        "topic_id": np.array(topic.topic_id, object),
        "partitions": np.array(topic.partitions),
        "from_offsets": np.array(offsets, np.int64),
        "position": np.array([epoch, 0, int(marked)]),
        "schema": np.array(schema.fingerprint),
    }
    store.write([(topic.name,)], pack_rows(schema["topic_state"], [values]))
    return list(offsets)
