"""Which contexts of a history are sampled, and what their target is."""

from dataclasses import replace

import numpy as np
import pytest

from export.recognition.contexts import RecognitionError, sample_contexts, split_starts, target_scenarios
from export.replay.history import DatasetHistory, ItemScenarios
from export.rows.requests import LabelledRequests
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import keys64

CONFIG = FeatureConfig(text_dims=2)
NOTHING = np.array([], object)


def history(*events: tuple[str, str, str, float], labelled: tuple[tuple[str, str, float], ...] = ()) -> DatasetHistory:
    """Events (user, scenario, type, time) and labelled rows (scenario, split, time)."""
    count = len(events)
    text = [np.array([event[column] for event in events], object) for column in range(2)]
    requests = [np.array([row[column] for row in labelled], object) for column in range(2)]
    blank = np.full(len(labelled), "", object)
    return DatasetHistory(
        behavior=Events(
            user=text[0],
            scenario=text[1],
            item=np.full(count, "i", object),
            type=np.array([EVENT_TYPES.index(event[2]) for event in events]),
            time_s=np.array([event[3] for event in events]),
            value=np.full(count, np.nan),
            event_key=keys64(f"e{number}" for number in range(count)),
            position=np.zeros((count, 3), np.int64),
            item_key=np.zeros(count, np.int64),
            facet_key=np.zeros((count, 4), np.int64),
            text_vector=np.zeros((count, 2)),
        ),
        behavior_text=np.full(count, "", object),
        requests=LabelledRequests(
            request_id=blank,
            user=blank,
            scenario=requests[0],
            item=blank,
            label=np.ones(len(labelled)),
            split=requests[1],
            time_s=np.array([r[2] for r in labelled]),
            context=np.zeros((len(labelled), 0)),
        ),
        items=[],
        item_scenarios=ItemScenarios(NOTHING, NOTHING, np.zeros(0), np.zeros((0, 0))),
        scenarios=[],
    )


BASKET = [("ann", "shelf", "click", 5.0)] * 3 + [("ann", "tv", "click", 5.0), ("ann", "regular", "click", 5.0)]


def test_a_context_is_a_user_at_a_time_in_time_order() -> None:
    """Events of one user at one time are one context; others' and later ones are their own."""
    made = sample_contexts(
        history(*BASKET, ("bob", "tv", "click", 5.0), ("ann", "tv", "click", 9.0)), CONFIG, ["shelf", "tv"], 99, 0
    )
    assert [("ann", 5.0), ("ann", 9.0), ("bob", 5.0)] == sorted(zip(made.user, made.time_s, strict=True))
    assert made.time_s.tolist() == sorted(made.time_s)


def test_the_target_is_drawn_by_events_among_target_scenarios() -> None:
    """Three of four events are in the shelf; `regular` is no target and is never drawn, nor counted in the bound."""
    drawn = [sample_contexts(history(*BASKET), CONFIG, ["shelf", "tv"], 99, seed).scenario[0] for seed in range(400)]
    assert {"shelf", "tv"} == set(drawn)
    assert pytest.approx(0.75, abs=0.07) == np.mean([name == "shelf" for name in drawn])
    made = sample_contexts(history(*BASKET), CONFIG, ["shelf", "tv"], 99, 0)
    assert pytest.approx([0.75]) == made.share
    assert pytest.approx([-0.75 * np.log(0.75) - 0.25 * np.log(0.25)]) == made.entropy


def test_only_engagement_makes_a_context() -> None:
    """An impression is none; without any engagement there are no contexts."""
    shown = history(("ann", "tv", "impression", 1.0), ("ann", "tv", "click", 2.0))
    assert [2.0] == sample_contexts(shown, CONFIG, ["tv"], 99, 0).time_s.tolist()
    with pytest.raises(RecognitionError, match="no event is an engagement"):
        sample_contexts(history(("ann", "tv", "impression", 1.0)), CONFIG, ["tv"], 99, 0)


def test_targets_are_the_scenarios_of_labelled_rows() -> None:
    """Without labelled rows, all scenarios with engagement."""
    labelled = history(*BASKET, labelled=(("tv", "train", 1.0),))
    assert ["tv"] == target_scenarios(labelled, CONFIG)
    assert ["regular", "shelf", "tv"] == target_scenarios(history(*BASKET), CONFIG)


def test_splits_start_at_those_of_the_labelled_rows() -> None:
    """If they follow one another in time; else the last two tenths of the contexts are validation and test."""
    rows = (("tv", "train", 1.0), ("tv", "validation", 7.0), ("tv", "test", 8.5))
    past = history(*[("ann", "tv", "click", float(time)) for time in range(10)], labelled=rows)
    contexts = sample_contexts(past, CONFIG, ["tv"], 99, 0)
    assert (7.0, 8.5) == split_starts(past.requests, contexts)
    mixed = replace(past.requests, split=past.requests.split[::-1].copy())
    assert (8.0, 9.0) == split_starts(mixed, contexts)
