"""The stage that settles the target scenario: named, guessed from habits, or recognised by a registered forest."""

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.rows import Block, pack
from services.features.schema import build_schema
from services.ranking.degraded import Degraded
from services.ranking.recognise import recognise
from services.ranking.scenarios import Scenarios
from services.ranking.validate import Request

NOW_S = 1_800_000_000.0
SCHEMA = build_schema(FeatureConfig(text_dims=3, attributes=(Attribute("hour", "context"),)))


def request(scenario: str = "", time_s: float = NOW_S) -> Request:
    return Request("u", scenario, ("a", "b"), 0, time_s, {}, explain=False, diversity=0.0)


def activity(view: str, events: list[float], time_s: float = NOW_S) -> Block:
    """One row per number of events, all clicks, under every half-life."""
    block = pack(SCHEMA[view], [None] * len(events))
    counts = np.zeros_like(block.floats("counts")).reshape(len(events), -1, len(SCHEMA.config.half_lives_s))
    counts[:, 1] = np.array(events)[:, None]
    return block.with_columns({"counts": counts.reshape(len(events), -1), "time_s": np.full(len(events), time_s)})


def scenarios_of(events: list[float]) -> Scenarios:
    names = tuple(f"s{number}" for number in range(len(events)))
    return Scenarios(names, pack(SCHEMA["scenario"], [None] * len(events)), activity("scenario_activity", events), True)


def recognised(scenario: str, everybody: list[float], own: list[float], time_s: float = NOW_S) -> list[float]:
    rows = activity("user_scenario", own)
    posterior = recognise(None, SCHEMA, request(scenario, time_s), scenarios_of(everybody), rows, Degraded())
    result: list[float] = posterior.tolist()
    return result


def test_a_named_scenario_is_certain() -> None:
    """Whatever the user or everybody did."""
    assert recognised("s1", [5, 0, 1], [9, 0, 0]) == [0, 1, 0]


def test_an_unknown_scenario_makes_all_alike_and_is_noted() -> None:
    """Not the user's habits: the request said where it is, and it is none of these."""
    degraded = Degraded()
    posterior = recognise(None, SCHEMA, request("x"), scenarios_of([1, 3]), activity("user_scenario", [4, 0]), degraded)
    assert posterior.tolist() == [0.5, 0.5]
    assert [line.reason for line in degraded.reasons] == [pb.DEGRADATION_REASON_UNKNOWN_SCENARIO]


@pytest.mark.parametrize(
    ("everybody", "own", "expected"),
    [
        ([0, 0], [0, 0], [0.5, 0.5]),
        ([1, 3], [0, 0], [0.25, 0.75]),
        ([0, 0], [1, 0], [0.75, 0.25]),
        ([1, 3], [3, 0], [3.25 / 4, 0.75 / 4]),
        ([1000, 3000], [3, 0], [3.25 / 4, 0.75 / 4]),
    ],
    ids=["nothing known", "only everybody", "only the user", "both", "everybody counts as one event"],
)
def test_a_scenario_is_recognised_by_own_events_and_everybodys_shares(
    everybody: list[float], own: list[float], expected: list[float]
) -> None:
    """In proportion, with one event's weight for the population."""
    assert recognised("", everybody, own) == pytest.approx(expected)


def test_own_events_fade_out_of_the_posterior() -> None:
    """After one longest half-life, 30 days, three events count one and a half."""
    assert recognised("", [1, 1], [3, 0], NOW_S + 30 * DAY_S) == pytest.approx([2 / 2.5, 0.5 / 2.5])


def test_centuries_later_the_posterior_is_still_one() -> None:
    """Counts may fade to zero without anything being divided by it."""
    assert sum(recognised("", [1, 1], [3, 0], NOW_S + 1e12)) == pytest.approx(1)
