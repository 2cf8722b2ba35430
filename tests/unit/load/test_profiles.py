"""Profiles from options."""

from typing import Any

import pytest

from services.errors import ConfigurationError
from services.load.knee import Search
from services.load.profiles import RAMP, STEADY, STEPPED, Profile, StepBounds, make_profile
from services.load.schedule import CONSTANT, Step

DEFAULTS: dict[str, Any] = {
    "rate": None,
    "duration_s": None,
    "steps": "",
    "step_duration_s": 10.0,
    "ramp": False,
    "search": Search(50),
    "bounds": StepBounds(),
    "arrivals": CONSTANT,
    "seed": 1,
    "warm_up_s": 0.0,
}


def build_profile(**options: Any) -> Profile:
    return make_profile(**{**DEFAULTS, **options})


def test_a_steady_profile_is_one_step() -> None:
    profile = build_profile(rate=20.0, duration_s=3.0)
    assert (STEADY, [(20.0, 3.0)]) == (profile.kind, [(step.rate, step.duration_s) for step in profile.steps()])


def test_steps_have_their_rates_and_schedules_of_their_own() -> None:
    profile = build_profile(steps="100, 200,100", arrivals="poisson")
    first, middle, last = profile.steps()
    assert (STEPPED, [100, 200, 100]) == (profile.kind, [step.rate for step in (first, middle, last)])
    assert first.due_s().tolist() != last.due_s().tolist()


def test_a_ramp_has_a_search() -> None:
    profile = build_profile(ramp=True)
    assert (RAMP, Search(50), []) == (profile.kind, profile.search, profile.steps())


def test_warming_up_takes_the_first_rate() -> None:
    assert [Step(20.0, 2.0, CONSTANT, 1)] == build_profile(rate=20.0, warm_up_s=2.0).warm_up()
    assert [Step(50, 2.0, CONSTANT, 1)] == build_profile(ramp=True, warm_up_s=2.0).warm_up()
    assert [] == build_profile(rate=20.0).warm_up()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "--rate"),
        ({"rate": 5.0, "ramp": True}, "one of --rate"),
        ({"rate": 0.0}, "--rate: 0"),
        ({"rate": float("nan")}, "--rate: nan"),
        ({"rate": 5.0, "duration_s": -1.0}, "--duration: -1"),
        ({"ramp": True, "duration_s": 9.0}, "--duration"),
        ({"steps": "100,fast"}, "--steps: 'fast'"),
        ({"steps": "100,-5"}, "--steps: -5"),
        ({"steps": "100", "step_duration_s": 0.0}, "--step-duration: 0"),
        ({"rate": 5.0, "arrivals": "bursty"}, "--arrivals: 'bursty'"),
        ({"rate": 5.0, "warm_up_s": -1.0}, "--warm-up: -1"),
        ({"ramp": True, "search": Search(50, factor=1)}, "--ramp-factor: 1"),
        ({"ramp": True, "search": Search(50, highest=10)}, "--ramp-highest"),
        ({"ramp": True, "search": Search(0)}, "--ramp-start: 0"),
        ({"ramp": True, "search": Search(50, precision=0)}, "--precision: 0"),
        ({"rate": 5.0, "bounds": StepBounds(goodput=1.5)}, "--min-goodput: 1.5"),
        ({"rate": 5.0, "bounds": StepBounds(p99_ms=0)}, "--max-p99: 0"),
    ],
)
def test_invalid_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        build_profile(**options)
