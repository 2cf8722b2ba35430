"""Updates of a user's attributes by the command line."""

import json

import pytest

from crossrec.events.v1.events_pb2 import Entry
from services.errors import InvalidRequest
from services.features.config import Attribute, FeatureConfig
from services.gateway.main import build_intake
from services.kafka.publisher import MemoryPublisher
from services.settings.load import Settings
from services.users.update import parse_attributes, publish_update

NOW_S = 1_700_000_000.25
ATTRIBUTES = (
    Attribute("age", "user"),
    Attribute("job", "user", kind="category", buckets=8),
    Attribute("likes", "user", kind="categories", buckets=8),
)
SETTINGS = Settings(features=FeatureConfig(attributes=ATTRIBUTES))


def test_an_update_is_stored_as_the_gateway_stores_it() -> None:
    """On the behaviour topic, under the user's key, numbers and categories in their fields."""
    publisher = MemoryPublisher()
    given = parse_attributes(json.loads('{"age": 24, "job": "student", "likes": ["war", "noir"]}'))
    publish_update(build_intake(SETTINGS, publisher), "ann", given, NOW_S)
    (record,) = publisher.stored
    update = Entry.FromString(record.value).user_update
    assert ("crossrec.behavior", b"ann", b"ann") == (record.topic, record.key, record.partition_key)
    assert ("ann", NOW_S) == (update.user_id, update.time.ToMicroseconds() / 1e6)
    assert {"age": 24.0} == dict(update.attributes)
    values = {name: list(each.values) for name, each in update.category_attributes.items()}
    assert {"job": ["student"], "likes": ["war", "noir"]} == values


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ('["age"]', 'attributes: is list, expected an object like {"age": 24}'),
        ('{"age": true}', "attributes['age']: is neither a number, a text nor a list of texts"),
        ('{"likes": ["war", 3]}', "attributes['likes']: is neither a number, a text nor a list of texts"),
        (
            '{"aeg": 24}',
            'user_update.attributes["aeg"]: is not declared for entity user; declared are: age, job, likes',
        ),
        ('{"job": ["a", "b"]}', 'user_update.category_attributes["job"]: has 2 values, at most 1'),
    ],
)
def test_a_bad_update_is_refused(given: str, reason: str) -> None:
    """With field, what was found and what is expected; nothing is stored."""
    publisher = MemoryPublisher()
    with pytest.raises(InvalidRequest) as caught:
        publish_update(build_intake(SETTINGS, publisher), "ann", parse_attributes(json.loads(given)), NOW_S)
    assert reason in str(caught.value)
    assert [] == publisher.stored
