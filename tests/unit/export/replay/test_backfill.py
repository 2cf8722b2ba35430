"""Keys that a backfill writes; the rows are tested on a real store."""

import pytest

from export.replay.backfill import pseudonymize_keys, worker_count
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.server.security.pseudonyms import Pseudonymizer

SCHEMA = build_schema(FeatureConfig())
NAMES = Pseudonymizer((b"k" * 32,))


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_user_ids_in_keys_are_pseudonymized(view) -> None:
    """Keys without a user id stay unchanged."""
    key = tuple(f"{entity} 1" for entity in view.entities)
    expected = tuple(NAMES.pseudonymize(part) if part == "user_id 1" else part for part in key)
    assert [expected] == list(pseudonymize_keys(view, [key], NAMES))
    assert [key] == list(pseudonymize_keys(view, [key], Pseudonymizer()))


@pytest.mark.parametrize(("events", "workers"), [(0, 1), (20, 1), (39_999, 1), (40_000, 2), (10**7, 8)])
def test_few_events_are_folded_by_one_process(events: int, workers: int) -> None:
    """Each process loads packages for seconds before it folds."""
    assert workers == worker_count(events, cores=8)
