"""Served and replayed tensors of the same requests are equal, unless folding has a bug."""

from collections.abc import Sequence

import numpy as np
import pytest

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ObservedEvent
from export.monitoring.skew.check import SkewAccumulator, pseudonymize_users
from export.monitoring.skew.exclusions import LATE, EventKey, SkewExclusions
from export.monitoring.skew.replay_requests import replay_requests
from services.features import behavior as folding
from services.features.config import DAY_S
from services.features.decay import decay_factors
from services.features.encode import tensor_names
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.outcome import RankOutcome
from services.ranking.pipeline import Ranker, rank
from services.ranking.served_log.record import build_record
from services.registry.model import FakeModel
from services.store.memory import MemoryRowStore
from tests.parity.test_stream_parity import history_of, time_us
from tests.unit.consumers.streams import ENCODER, SCHEMA, START_S, behavior, catalogue, replayed, user_update

ASKED_S = START_S + 41 * DAY_S
UPDATES = sorted(catalogue(20, 3), key=time_us)
EVENTS = behavior(400)
USERS = (*(f"u{number}" for number in range(9)), "nobody")
WIDTHS = {tensor: len(names) for tensor, names in tensor_names(SCHEMA).items()}
ITEMS = [*(f"i{number}" for number in range(12)), "never seen"]


class RecordingObserver:
    """Turns each answer into a record, as the served log does."""

    def __init__(self) -> None:
        self.records: list[ServedRanking] = []

    def on_ranked(self, outcome: RankOutcome) -> None:
        assert outcome.trace
        self.records.append(build_record(outcome.query, outcome.trace, ASKED_S + 5, SCHEMA.fingerprint, 8))


def rank_requests(store: MemoryRowStore) -> list[ServedRanking]:
    """Records of requests of all users, at two moments, with and without a scenario."""
    log = RecordingObserver()
    rows = open_row_sources(store, SCHEMA, ENCODER.fingerprint, 1000, 0.0, 0.0, positions=True, max_scenarios=64)
    ranker = Ranker(SCHEMA, rows, FixedModel(FakeModel()), clock=lambda: ASKED_S + 10, observers=(log,))
    for number, user in enumerate(USERS):
        request = RankRequest(user_id=user, item_ids=ITEMS, scenario_id="s1" if number % 2 else "")
        request.request_time.FromMicroseconds(round((ASKED_S + number % 2) * 1e6) + number % 2)
        rank(ranker, request, lambda: 10.0)
    return log.records


def compare(
    records: Sequence[ServedRanking], events: Sequence[ObservedEvent] = (), keys: set[EventKey] | None = None
) -> SkewAccumulator:
    accumulator = SkewAccumulator(SCHEMA, SkewExclusions(events, keys or set(), 1, 0.0), 1e-5)
    replay_requests(history_of(UPDATES, EVENTS), SCHEMA, ENCODER, records, accumulator.add)
    return accumulator


def test_served_tensors_equal_replayed_tensors() -> None:
    """For known and unknown users and items, and every value."""
    found = compare(rank_requests(replayed(UPDATES, EVENTS)))
    assert [] == list(found.skew.differing_columns())
    per_item = WIDTHS["item"] + WIDTHS["item_text"] + 3 * WIDTHS["cross"]
    per_request = 3 * (WIDTHS["scenario"] + WIDTHS["behavior"] + WIDTHS["language"])
    assert len(USERS) * (8 * per_item + per_request) == found.skew.values
    assert (len(USERS), 0, 0) == (found.compared, found.unreadable, found.excluded.values)


def test_a_wrong_half_life_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' counts and language vectors differ; tables and activity of all users do not."""
    with monkeypatch.context() as patched:
        patched.setattr(folding, "decay_factors", lambda elapsed, h: decay_factors(elapsed, 2 * np.asarray(h)))
        records = rank_requests(replayed(UPDATES, EVENTS))
    features = {(line.tensor, line.feature) for line in compare(records).skew.differing_columns()}
    assert {("behavior", "all_click_2.592e+06s"), ("behavior", "scenario_purchase_2.592e+06s")} <= features
    assert {"behavior", "language", "item", "cross"} == {tensor for tensor, _ in features}
    similarities = {name for tensor, name in features if tensor in {"item", "cross"}}
    assert {"user_text_similarity", "user_scenario_text_similarity"} == similarities


def test_a_late_event_is_no_skew() -> None:
    """It arrived after the answer: differences of its user, and of popularity, are reported as excluded."""
    late = EVENTS[-1].behavior_event
    observed = ObservedEvent(
        *(late.user_id, late.scenario_id, late.item_id, "click", late.time.ToMicroseconds() / 1e6),
        *("", 0, len(EVENTS), ASKED_S + 100),
    )
    keys = {(observed.user, observed.scenario, observed.item, observed.kind, int(observed.time_s * 1000))}
    found = compare(rank_requests(replayed(UPDATES, EVENTS[:-1])), [observed], keys)
    assert [] == list(found.skew.differing_columns())
    assert {line.tensor for line in found.excluded.differing_columns()} & {"scenario", "behavior"} == {
        "scenario",
        "behavior",
    }
    assert {LATE: len(USERS)} == dict(found.reasons)


def test_tensors_of_another_shape_are_skipped() -> None:
    """Neither compared nor reported as skew."""
    records = rank_requests(replayed(UPDATES, EVENTS))
    del records[0].features.tensors[0]
    records[1].features.tensors[1].values = b""
    found = compare(records)
    assert (len(USERS) - 2, 2, []) == (found.compared, found.unreadable, list(found.skew.differing_columns()))


def test_users_of_the_history_are_pseudonymized() -> None:
    """Kafka, the store and the records hold pseudonyms; the rest of the history stays."""
    history = history_of(UPDATES, EVENTS, [user_update(1)])
    found = pseudonymize_users(history, lambda user: f"p-{user}")
    assert [f"p-{user}" for user in history.behavior.user.tolist()] == found.behavior.user.tolist()
    assert ["p-u1"] == found.users.user.tolist()
    assert found.behavior.time_s is history.behavior.time_s
