"""The stage that determines the target scenario: named, estimated from habits, or recognised."""

from dataclasses import replace

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.recognition import recognition_names
from services.features.rows import Block, pack_rows
from services.features.schema import build_schema
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.recognise import recognise
from services.ranking.request_state import Degradations
from services.ranking.validate import RankQuery

NOW_S = 1_800_000_000.0
SCHEMA = build_schema(FeatureConfig(text_dims=3, attributes=(Attribute("hour", "context"),)))


def request(scenario: str = "", time_s: float = NOW_S) -> RankQuery:
    return RankQuery("u", scenario, ("a", "b"), 0, time_s, {}, explain=False, diversity=0.0)


def activity(view: str, events: list[float], time_s: float = NOW_S) -> Block:
    """One row per number of events, all clicks, under every half-life."""
    block = pack_rows(SCHEMA[view], [None] * len(events))
    counts = np.zeros_like(block.floats("counts")).reshape(len(events), -1, len(SCHEMA.config.half_lives_s))
    counts[:, 1] = np.array(events)[:, None]
    return block.with_columns({"counts": counts.reshape(len(events), -1), "time_s": np.full(len(events), time_s)})


def scenarios_of(events: list[float]) -> Scenarios:
    names = tuple(f"s{number}" for number in range(len(events)))
    return Scenarios(
        names, pack_rows(SCHEMA["scenario"], [None] * len(events)), activity("scenario_activity", events), True
    )


def recognised(scenario: str, population: list[float], own: list[float], time_s: float = NOW_S) -> list[float]:
    rows = activity("user_scenario", own)
    posterior = recognise(None, SCHEMA, request(scenario, time_s), scenarios_of(population), rows, Degradations())
    result: list[float] = posterior.tolist()
    return result


def test_a_named_scenario_is_certain() -> None:
    """For any history of the user and of other users."""
    assert recognised("s1", [5, 0, 1], [9, 0, 0]) == [0, 1, 0]


def test_an_unknown_scenario_gives_a_uniform_posterior_and_is_reported() -> None:
    """Not from the user's habits: the request named another scenario."""
    degraded = Degradations()
    posterior = recognise(None, SCHEMA, request("x"), scenarios_of([1, 3]), activity("user_scenario", [4, 0]), degraded)
    assert posterior.tolist() == [0.5, 0.5]
    assert [line.reason for line in degraded.reasons] == [pb.DEGRADATION_REASON_UNKNOWN_SCENARIO]


@pytest.mark.parametrize(
    ("population", "own", "expected"),
    [
        ([0, 0], [0, 0], [0.5, 0.5]),
        ([1, 3], [0, 0], [0.25, 0.75]),
        ([0, 0], [1, 0], [0.75, 0.25]),
        ([1, 3], [3, 0], [3.25 / 4, 0.75 / 4]),
        ([1000, 3000], [3, 0], [3.25 / 4, 0.75 / 4]),
    ],
    ids=["nothing known", "only population", "only the user", "both", "population counts as one event"],
)
def test_a_scenario_is_recognised_by_own_events_and_population_shares(
    population: list[float], own: list[float], expected: list[float]
) -> None:
    """In proportion; the population has the weight of one event."""
    assert recognised("", population, own) == pytest.approx(expected)


def test_own_events_decay_in_the_posterior() -> None:
    """After one longest half-life, 30 days, three events count one and a half."""
    assert recognised("", [1, 1], [3, 0], NOW_S + 30 * DAY_S) == pytest.approx([2 / 2.5, 0.5 / 2.5])


def test_after_centuries_the_posterior_still_sums_to_one() -> None:
    """Counts may decay to zero without a division by zero."""
    assert sum(recognised("", [1, 1], [3, 0], NOW_S + 1e12)) == pytest.approx(1)


class DeviceRecogniser:
    """Certain of the first scenario if the context attribute is above 0, else uniform."""

    version = "device/1"
    scenarios = ("s0", "s2")
    sources = ("gone", "s0", "s1", "s2")
    source_only = frozenset({"s1"})

    def posterior(self, features: np.ndarray) -> np.ndarray:
        place = recognition_names(SCHEMA.config, self.sources).index("context_hour")
        return np.where(features[:, [place]] > 0, [[1.0, 0.0]], [[0.5, 0.5]])


def test_the_recogniser_distributes_the_mass_of_its_scenarios() -> None:
    """By the context; a source that is not a target gets 0, and the newer s3 its share from habits."""
    for hour, expected in ((1.0, [0.75, 0, 0, 0.25]), (-1.0, [0.375, 0, 0.375, 0.25])):
        query = replace(request(), context={"hour": hour})
        rows = activity("user_scenario", [1, 9, 1, 2 / 3])
        found = recognise(DeviceRecogniser(), SCHEMA, query, scenarios_of([3, 7, 3, 2]), rows, Degradations())
        assert found.tolist() == pytest.approx(expected)


def test_a_named_scenario_needs_no_recogniser() -> None:
    """Even if the recogniser gives it probability 0."""
    found = recognise(
        DeviceRecogniser(),
        SCHEMA,
        request("s1"),
        scenarios_of([1, 1]),
        activity("user_scenario", [0, 0]),
        Degradations(),
    )
    assert found.tolist() == [0, 1]


def test_the_recogniser_gets_rows_in_the_order_of_its_sources() -> None:
    """For any order of the scenarios; a deleted scenario has a row without events."""
    seen: list[np.ndarray] = []

    class Recording(DeviceRecogniser):
        def posterior(self, features: np.ndarray) -> np.ndarray:
            seen.append(features)
            return super().posterior(features)

    recognise(
        Recording(), SCHEMA, request(), scenarios_of([1, 1, 1]), activity("user_scenario", [1, 2, 3]), Degradations()
    )
    names = recognition_names(SCHEMA.config, DeviceRecogniser.sources)
    longest = f"{SCHEMA.config.half_lives_s[-1]:g}s"
    shares = [seen[0][0, names.index(f"own_share_{longest}[{name}]")] for name in DeviceRecogniser.sources]
    assert shares == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6])
