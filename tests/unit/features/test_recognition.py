"""Context features and the mix of habits and recogniser, against values computed by hand."""

import numpy as np
import pytest

from services.features.config import DAY_S, HOUR_S, Attribute, FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.recognition import (
    NEVER_DAYS,
    mix_posterior,
    recognition_features,
    recognition_names,
    restrict_prior,
    user_prior,
)
from services.features.rows import Block, pack_rows
from services.features.schema import build_schema

CONFIG = FeatureConfig(half_lives_s=(DAY_S, 10 * DAY_S), text_dims=3, attributes=(Attribute("device", "context"),))
SCHEMA = build_schema(CONFIG)
SOURCES = ("shelf", "tv")
MONDAY_S = 1_699_833_600.0
"""2023-11-13 00:00 UTC, a Monday."""


def rows(view: str, events: list[float], times: list[float]) -> Block:
    block = pack_rows(SCHEMA[view], [None] * len(events))
    counts = np.zeros((len(events), len(EVENT_TYPES), 2))
    counts[:, 1] = np.array(events)[:, None]
    return block.with_columns({"counts": counts.reshape(len(events), -1), "time_s": np.array(times)})


def features(
    time_s: float, own: list[float], times: list[float], population: tuple[float, float] = (1, 3), device: float = 0.0
) -> dict[str, float]:
    activity = rows("scenario_activity", list(population), [MONDAY_S, MONDAY_S])
    block = rows("user_scenario", own, times)
    (made,) = recognition_features(CONFIG, np.array([time_s]), block, activity, np.array([[device]]))
    return dict(zip(recognition_names(CONFIG, SOURCES), made.tolist(), strict=True))


@pytest.mark.parametrize(
    ("time_s", "hour", "weekday"),
    [
        (MONDAY_S, (0, 1), (0, 1)),
        (MONDAY_S + 6 * HOUR_S, (1, 0), (0, 1)),
        (MONDAY_S + 12 * HOUR_S, (0, -1), (0, 1)),
        (MONDAY_S + 7 * DAY_S - HOUR_S, (-0.2588, 0.9659), (-0.7818, 0.6235)),
    ],
    ids=["midnight", "six", "noon", "Sunday night"],
)
def test_times_are_points_on_two_circles(
    time_s: float, hour: tuple[float, float], weekday: tuple[float, float]
) -> None:
    """The hour of the day and the day of the week wrap around, in UTC."""
    made = features(time_s, [0, 0], [0, 0])
    assert pytest.approx(hour, abs=1e-4) == (made["hour_sin"], made["hour_cos"])
    assert pytest.approx(weekday, abs=1e-4) == (made["weekday_sin"], made["weekday_cos"])


def test_own_behaviour_is_decayed_to_the_time_of_the_request() -> None:
    """Two events a day ago and two just now: shares per half-life, days since, and which scenario was last."""
    made = features(MONDAY_S + DAY_S, [2, 2], [MONDAY_S, MONDAY_S + DAY_S])
    tenth = 2 ** (-1 / 10)
    assert pytest.approx((1 / 3, 2 / 3)) == (made["own_share_86400s[shelf]"], made["own_share_86400s[tv]"])
    assert pytest.approx(tenth / (tenth + 1)) == made["own_share_864000s[shelf]"]
    assert pytest.approx(3.0) == made["own_events_86400s"]
    assert (1.0, 0.0) == (made["days_since[shelf]"], made["days_since[tv]"])
    assert (0.0, 1.0) == (made["last[shelf]"], made["last[tv]"])
    assert (0.25, 0.75) == (made["population_share_86400s[shelf]"], made["population_share_86400s[tv]"])


def test_a_new_user_without_any_history_has_zeros() -> None:
    """No share is divided by zero, and no scenario counts as the last one."""
    made = features(MONDAY_S, [0, 0], [0, 0], (0, 0), device=3.5)
    own = {name: value for name, value in made.items() if "[" in name or name.startswith("own_")}
    assert {0.0, NEVER_DAYS} == set(own.values())
    assert {NEVER_DAYS} == {value for name, value in own.items() if name.startswith("days_since")}
    assert 3.5 == made["context_device"]


def test_attributes_beyond_single_precision_stay_finite() -> None:
    """As in the tensors of the ranking model."""
    assert np.isfinite(features(MONDAY_S, [1, 1], [1, 1], device=1e300)["context_device"])


def test_requests_of_a_batch_are_independent() -> None:
    """A batch of requests gives the features of each request alone, habits included."""
    random = np.random.default_rng(0)
    time_s = MONDAY_S + random.random(5) * DAY_S
    own = rows("user_scenario", random.random(10).tolist(), (MONDAY_S - random.random(10) * DAY_S).tolist())
    activity, context = rows("scenario_activity", [1, 3], [MONDAY_S] * 2), random.random((5, 1))
    together = recognition_features(CONFIG, time_s, own, activity, context)
    priors = user_prior(CONFIG, time_s, own, activity)
    of_each_moment = rows("scenario_activity", [1, 3] * 5, [MONDAY_S] * 10)
    np.testing.assert_array_equal(together, recognition_features(CONFIG, time_s, own, of_each_moment, context))
    np.testing.assert_array_equal(priors, user_prior(CONFIG, time_s, own, of_each_moment))
    for number in range(5):
        place = slice(2 * number, 2 * number + 2)
        alone = Block(own.view, 2, {name: column[place] for name, column in own.fixed.items()}, {})
        one = slice(number, number + 1)
        np.testing.assert_array_equal(
            together[one], recognition_features(CONFIG, time_s[one], alone, activity, context[one])
        )
        np.testing.assert_allclose(priors[one], user_prior(CONFIG, time_s[one], alone, activity))


@pytest.mark.parametrize(
    ("prior", "place", "source_only", "expected"),
    [
        ([0.5, 0.5], [0, 1], [False, False], [0.8, 0.2]),
        ([0.5, 0.5], [1, 0], [False, False], [0.2, 0.8]),
        ([0.5, 0.3, 0.2], [0, 1, -1], [False] * 3, [0.64, 0.16, 0.2]),
        ([0.5, 0.1, 0.4], [0, 1, -1], [False, False, True], [0.8, 0.2, 0.0]),
        ([0.5, 0.1, 0.2, 0.2], [0, 1, -1, -1], [False, False, True, False], [0.6, 0.15, 0.0, 0.25]),
        ([0.7, 0.3], [-1, 0], [False, False], [0.7, 0.3]),
        ([0.7, 0.3], [-1, -1], [False, False], [0.7, 0.3]),
        ([0.7, 0.3], [-1, -1], [True, False], [0.0, 1.0]),
        ([0.7, 0.3], [-1, -1], [True, True], [0.7, 0.3]),
    ],
    ids=[
        "all known",
        "in another order",
        "a new one",
        "a source only",
        "a new one and a source only",
        "one of the two known is gone",
        "none known",
        "none known, one a source only",
        "sources only",
    ],
)
def test_new_scenarios_keep_their_share_from_habits(
    prior: list[float], place: list[int], source_only: list[bool], expected: list[float]
) -> None:
    """The rest is distributed by the recogniser; a source that is never a target gets 0."""
    made = mix_posterior(np.array(prior), np.array([0.8, 0.2]), np.array(place), np.array(source_only))
    assert pytest.approx(expected) == made.tolist()
    assert pytest.approx(1.0) == made.sum()


def test_the_posterior_is_uniform_where_the_prior_has_no_mass() -> None:
    """The prior has no mass in any eligible scenario."""
    assert [0.0, 0.5, 0.5] == restrict_prior(np.array([1.0, 0.0, 0.0]), np.array([False, True, True])).tolist()
