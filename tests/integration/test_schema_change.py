"""A change of the feature schema on a real Kafka and Valkey: older and diverging schemas are rejected."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from services.consumers.main import consume
from services.features.config import Attribute, FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.rows import Row, default_value, pack_rows
from services.features.saturation import saturation_weights
from services.features.schema import Schema, build_schema
from services.store.connect import open_rows, open_rows_for_batches
from services.store.protocol import IncompatibleSchema, StaleSchema, read_rows
from services.store.redis.feast_rows import FeastRowStore
from services.store.schema_lineage import join_lineage, read_lineage
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import Stage, folded, running
from tests.unit.consumers.streams import behavior_event, item_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

WEIGHT = Attribute("weight", "item", default=7.0)
NEW = FeatureConfig(attributes=(WEIGHT,))
OLD_SCHEMA, NEW_SCHEMA = build_schema(FeatureConfig()), build_schema(NEW)


def restarted_with(stage: Stage, features: FeatureConfig) -> Stage:
    """The same deployment with other features settings, restarted."""
    settings = stage.settings.model_copy(update={"features": features})
    return replace(stage, settings=settings, store=open_rows_for_batches(settings))


def fold(stage: Stage, *numbers: int) -> None:
    """Clicks of one user through behaviour and activity consumers."""
    stage.send([behavior_event(number) for number in numbers])
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: folded(stage, "activity"))


def schemas(stage: Stage, view: str, key: tuple[str, ...], features: FeatureConfig) -> tuple[int, float]:
    """The schema of a row and how many clicks it counts, as a ranking server reads it."""
    settings = stage.settings.model_copy(update={"features": features})
    (row,) = read_rows(open_rows(settings), build_schema(features)[view], [key])
    assert row is not None
    return int(row["schema"]), float(row["counts"][5])


def test_rows_stay_valid_after_a_change_of_the_schema(stage: Stage) -> None:
    """Written by the old process, updated by the new one; then the old one is rejected and changes nothing."""
    stage.send([item_update(0, attributes={})])
    with running(stage, "item"):
        wait_until(lambda: folded(stage, "item"))
    fold(stage, 1, 2)
    new = restarted_with(stage, NEW)
    (item,) = read_rows(new.store, NEW_SCHEMA["item"], [("i0",)])
    assert item is not None
    assert (OLD_SCHEMA.fingerprint, [7.0]) == (int(item["schema"]), item["attributes"].tolist())
    fold(new, 3)
    one_user = 1.0 + saturation_weights(np.array([3, 5])).sum()  # of three clicks, in the activity of all users
    for view, key, expected in (
        ("user", ("u0",), 3.0),
        ("user_scenario", ("u0", "s0"), 3.0),
        ("item_activity", ("i0",), one_user),
    ):
        for features in (NEW, FeatureConfig()):
            fingerprint, clicks = schemas(stage, view, key, features)
            assert NEW_SCHEMA.fingerprint == fingerprint
            assert clicks == pytest.approx(expected, abs=1e-3)
    assert (OLD_SCHEMA.fingerprint, NEW_SCHEMA.fingerprint) == read_lineage(new.store).fingerprints
    with pytest.raises(StaleSchema, match=f"the store has the newer {NEW_SCHEMA.fingerprint}"):
        consume("behavior", stage.settings, stage.store, Event(), HashingEncoder)
    with pytest.raises(StaleSchema, match="start it with the newer features settings"):
        read_rows(stage.store, OLD_SCHEMA["user"], [("u0",)])
    other = restarted_with(stage, FeatureConfig(text_dims=32))
    with pytest.raises(IncompatibleSchema, match=r"scenario\.text_vector: length 64 in stored rows, now 32"):
        consume("behavior", other.settings, other.store, Event(), lambda: HashingEncoder(32))


def user_row(schema: Schema, offset: int) -> Row:
    """A row of `user` that counts 1, 2, 3... events."""
    row = {feature.name: default_value(feature) for feature in schema["user"].features}
    counts = np.arange(1.0, schema.count_length + 1)
    position, fingerprint = np.array([1, 0, offset]), np.array(schema.fingerprint)
    return {**row, "time_s": np.array(1.7e9), "counts": counts, "position": position, "schema": fingerprint}


def test_an_event_type_is_appended_to_stored_rows(stage: Stage) -> None:
    """Rows without the type are read with zeros, alone and beside rows that count it, which older readers reject."""
    config = FeatureConfig(engagement={"click": 1.0})
    fewer, more = (build_schema(config, types) for types in (EVENT_TYPES[:-1], EVENT_TYPES))
    store = stage.settings.store
    old, new, reader = FeastRowStore(store, fewer), FeastRowStore(store, more), FeastRowStore(store, fewer, newer=True)
    join_lineage(old, fewer)
    old.write([("old",)], pack_rows(fewer["user"], [user_row(fewer, 1)]))
    join_lineage(new, more)
    new.write([("new",)], pack_rows(more["user"], [user_row(more, 2)]))
    expected = [*range(1, fewer.count_length + 1), *[0] * (more.count_length - fewer.count_length)]
    for keys in ([("old",)], [("new",), ("old",)]):
        row = read_rows(new, more["user"], keys)[-1]
        assert row is not None
        assert expected == row["counts"].tolist()
    assert read_rows(reader, fewer["user"], [("old",)])[0] is not None
    with pytest.raises(StaleSchema, match=EVENT_TYPES[-1]):
        read_rows(reader, fewer["user"], [("new",)])
