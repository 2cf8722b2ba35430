"""Rollouts: rules, changes, and the serving file."""

import json

import pytest

from services.registry.reader import ModelUnavailable, Version
from services.registry.rollout import (
    Rollout,
    RolloutError,
    ServingState,
    describe_rollout,
    parse_serving,
    serialize_serving,
    with_arm,
    with_previous,
    with_shadow,
    with_version,
)

ONE, TWO, THREE = (Version("tiny", number) for number in (1, 2, 3))
START = ServingState(Rollout.of(ONE))
NOW = "2026-07-02T10:00:00+00:00"


def shares(serving: ServingState) -> dict[str, float]:
    return {f"{arm.arm}:{arm.model.number}": arm.weight for arm in serving.rollout.arms}


def test_a_promotion_serves_all_users_and_ends_experiment_and_shadow() -> None:
    """The previous rollout is kept."""
    begun = with_shadow(with_arm(START, TWO, "b", 0.1, "", NOW), THREE, NOW)
    ended = with_version(begun, TWO, NOW)
    assert {":2": 1.0} == shares(ended)
    assert ("", None) == (ended.rollout.experiment, ended.rollout.shadow)
    assert (START.rollout, with_arm(START, TWO, "b", 0.1, "", NOW).rollout, begun.rollout) == ended.history


def test_the_first_arm_begins_an_experiment_against_the_serving_version() -> None:
    """Its default name is made of the model's name and the time."""
    begun = with_arm(START, TWO, "b", 0.1, "", NOW)
    assert {"control:1": 0.9, "b:2": 0.1} == shares(begun)
    assert f"tiny {NOW}" == begun.rollout.experiment
    assert "prices" == with_arm(START, TWO, "b", 0.1, "prices", NOW).rollout.experiment


def test_another_arm_keeps_the_proportions_of_the_others_and_the_experiments_name() -> None:
    """Shares are thousandths and sum to 1; an arm's own share and version can be changed."""
    begun = with_arm(START, TWO, "b", 0.25, "", NOW)
    third = with_arm(begun, THREE, "c", 0.333, "", "later")
    assert {"control:1": 0.501, "b:2": 0.166, "c:3": 0.333} == shares(third)
    assert begun.rollout.experiment == third.rollout.experiment
    assert {"control:1": 0.5, "b:3": 0.5} == shares(with_arm(begun, THREE, "b", 0.5, "", "later"))


@pytest.mark.parametrize("weight", [0.0, -0.1, 1.0, 1.5, 0.0005, 0.1234, float("nan")])
def test_weights_are_thousandths_below_one(weight: float) -> None:
    """The error names the field and the weight."""
    with pytest.raises(RolloutError, match=r"weight: .* is not a multiple of 0\.001"):
        with_arm(START, TWO, "b", weight, "", NOW)


def test_invalid_changes_are_rejected() -> None:
    """Each error names its reason."""
    begun = with_arm(START, TWO, "b", 0.999, "", NOW)
    for change, reason in [
        (lambda: with_version(START, ONE, NOW), "no change: tiny/1 to all already"),
        (lambda: with_shadow(START, ONE, NOW), "shadow: tiny/1 serves"),
        (
            lambda: with_arm(START, TWO, "control", 0.1, "", NOW),
            "arm: control is the arm of the version that serves",
        ),
        (lambda: with_arm(START, TWO, "", 0.1, "", NOW), "arm: it needs a name"),
        (lambda: with_arm(begun, THREE, "c", 0.999, "", NOW), "weight: it leaves 0.001 for 2 other arms"),
        (lambda: with_previous(START), "history: no earlier rollout is known"),
    ]:
        with pytest.raises(RolloutError, match=reason):
            change()


def test_rolling_back_goes_through_history_backwards() -> None:
    """Arms and shadow included."""
    begun = with_arm(START, TWO, "b", 0.1, "", NOW)
    ended = with_version(begun, TWO, NOW)
    assert begun.rollout == with_previous(ended).rollout
    assert START == with_previous(with_previous(ended))


def test_history_is_bounded() -> None:
    """The newest rollouts are kept."""
    serving = START
    for number in range(200):
        serving = with_version(serving, Version("tiny", 2 + number % 2), NOW)
    assert 50 == len(serving.history) == len(parse_serving(serialize_serving(serving), "x").history)
    assert THREE != serving.history[-1].arms[0].model == TWO


def test_a_rollout_is_read_back_as_it_was_written() -> None:
    """With all of its fields."""
    serving = with_shadow(with_arm(START, TWO, "b", 0.1, "", NOW), THREE, NOW)
    assert serving == parse_serving(serialize_serving(serving), "x")
    assert "tiny/1 as control to 90.0%, tiny/2 as b to 10.0%, tiny/3 as shadow" == describe_rollout(serving.rollout)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format: it is 2, this code reads 1"),
        ({"arms": []}, "arms: their weights sum to 0"),
        ({"arms": [{"arm": "", "model": "tiny/1", "weight": 0.4}]}, "arms: their weights sum to 0.4"),
        ({"arms": [{"arm": "", "model": "tiny", "weight": 1}]}, "arms.model: 'tiny' is not NAME/VERSION"),
        ({"arms": [{"arm": "", "model": "../tiny/1", "weight": 1}]}, "is not NAME/VERSION"),
        ({"arms": [{"arm": "a", "model": "tiny/1", "weight": 0.5}] * 2}, "each needs a distinct name"),
        ({"arms": [{"arm": a, "model": "tiny/1", "weight": 0.5} for a in "ab"]}, "experiment: several arms need"),
        ({"arms": [{"arm": "", "model": "tiny/1", "weight": float("inf")}]}, "weight: inf of arm"),
        ({"arms": 3}, "not a serving file"),
        ({"history": None}, "not a serving file"),
        ({"shadow": 7}, "not a serving file"),
    ],
)
def test_a_file_that_breaks_a_rule_is_rejected(changes: dict[str, object], reason: str) -> None:
    """The error names file and field."""
    content = {**json.loads(serialize_serving(START)), **changes}
    with pytest.raises(RolloutError, match=f"^some/serving.json: .*{reason}"):
        parse_serving(json.dumps(content).encode(), "some/serving.json")


@pytest.mark.parametrize("text", ["tiny", "/1", "tiny/", "tiny/x", "tiny/²", ".x/1", "a/b/1", "tiny/-1"])
def test_a_version_is_name_and_number(text: str) -> None:
    """Texts that would be other paths are rejected."""
    with pytest.raises(ModelUnavailable, match=r"version: .* is not NAME/VERSION"):
        Version.parse(text)
