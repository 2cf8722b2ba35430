"""A change of the feature schema on a real Kafka and a real Valkey: forward goes on, back and sideways are refused."""

from dataclasses import replace
from threading import Event

import pytest

from services.consumers.main import consume
from services.features.config import Attribute, FeatureConfig
from services.features.schema import build_schema
from services.store.connect import open_feature_store, open_rows, open_rows_for_batches
from services.store.protocol import IncompatibleSchema, StaleSchema, read_rows
from services.store.schema_lineage import read_lineage
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import Stage, folded, running
from tests.unit.consumers.streams import behavior_event, item_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

WEIGHT = Attribute("weight", "item", default=7.0)
NEW = FeatureConfig(attributes=(WEIGHT,))
OLD_SCHEMA, NEW_SCHEMA = build_schema(FeatureConfig()), build_schema(NEW)


def under(stage: Stage, features: FeatureConfig) -> Stage:
    """The same deployment with other features settings, started anew."""
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


def test_rows_outlive_a_change_of_the_schema(stage: Stage) -> None:
    """Written by the old process, folded on by the new one; then the old one is refused and has changed nothing."""
    stage.send([item_update(0, attributes={})])
    with running(stage, "item"):
        wait_until(lambda: folded(stage, "item"))
    fold(stage, 1, 2)
    # As a registry is that was made before the view existed.
    open_feature_store(stage.settings).delete_feature_view("schema_lineage")
    new = under(stage, NEW)
    (item,) = read_rows(new.store, NEW_SCHEMA["item"], [("i0",)])
    assert item is not None
    assert (OLD_SCHEMA.fingerprint, [7.0]) == (int(item["schema"]), item["attributes"].tolist())
    fold(new, 3)
    for view, key in (("user", ("u0",)), ("user_scenario", ("u0", "s0")), ("item_activity", ("i0",))):
        for features in (NEW, FeatureConfig()):
            fingerprint, clicks = schemas(stage, view, key, features)
            assert NEW_SCHEMA.fingerprint == fingerprint
            assert clicks == pytest.approx(3.0, abs=1e-3)
    assert (OLD_SCHEMA.fingerprint, NEW_SCHEMA.fingerprint) == read_lineage(new.store).fingerprints
    with pytest.raises(StaleSchema, match=f"the store has the newer {NEW_SCHEMA.fingerprint}"):
        consume("behavior", stage.settings, stage.store, Event(), HashingEncoder)
    with pytest.raises(StaleSchema, match="start it with the newer features settings"):
        read_rows(stage.store, OLD_SCHEMA["user"], [("u0",)])
    other = under(stage, FeatureConfig(text_dims=32))
    with pytest.raises(IncompatibleSchema, match=r"scenario\.text_vector: length 64 in stored rows, now 32"):
        consume("behavior", other.settings, other.store, Event(), lambda: HashingEncoder(32))
