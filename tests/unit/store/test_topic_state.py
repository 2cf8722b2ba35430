"""The topic that rows are folded from is checked."""

from dataclasses import replace

import pytest

from services.errors import TopicChanged
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.kafka.topics import TopicIdentity
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite
from services.store.topic_state import check_topic, record_topic

SCHEMA = build_schema(FeatureConfig())
TOPIC = TopicIdentity("crossrec.behavior", "abc", 3)


@pytest.fixture
def store() -> MemoryRowStore:
    store = MemoryRowStore()
    assert [0, 0, 0] == check_topic(store, SCHEMA, TOPIC, 1)
    return store


def test_the_same_topic_is_folded_from_the_recorded_offsets(store: MemoryRowStore) -> None:
    """From the beginning, until a backfill records other offsets."""
    assert [0, 0, 0] == check_topic(store, SCHEMA, TOPIC, 1)
    record_topic(store, SCHEMA, TOPIC, 1, [5, 0, 7])
    assert [5, 0, 7] == check_topic(store, SCHEMA, TOPIC, 1)


@pytest.mark.parametrize(
    ("changed", "epoch", "reason"),
    [
        (replace(TOPIC, topic_id="def"), 1, "crossrec.behavior: it was re-created.*set kafka.topic_epoch to 2"),
        (replace(TOPIC, partitions=6), 1, "has 6 partitions, the rows were folded from 3.*kafka.topic_epoch to 2"),
        (TOPIC, 0, "the rows hold epoch 1, kafka.topic_epoch is 0"),
    ],
)
def test_another_topic_is_rejected_with_instructions(
    changed: TopicIdentity, epoch: int, reason: str, store: MemoryRowStore
) -> None:
    """Every time: a rejection changes no stored state."""
    for _ in range(2):
        with pytest.raises(TopicChanged, match=reason):
            check_topic(store, SCHEMA, changed, epoch)
    assert [0, 0, 0] == check_topic(store, SCHEMA, TOPIC, 1)


def test_with_a_higher_epoch_another_topic_is_read_from_its_beginning(store: MemoryRowStore) -> None:
    """Processes with the lower epoch are rejected."""
    record_topic(store, SCHEMA, TOPIC, 1, [5, 0, 7])
    other = TopicIdentity(TOPIC.name, "def", 4)
    assert [0, 0, 0, 0] == check_topic(store, SCHEMA, other, 2)
    with pytest.raises(TopicChanged):
        check_topic(store, SCHEMA, TOPIC, 1)
    with pytest.raises(FencedWrite):
        record_topic(store, SCHEMA, TOPIC, 1, [0, 0, 0])
