"""The load profile: a steady rate, steps, or a ramp up to the knee. Builds it from options and checks them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import ConfigurationError
from services.load.knee import Search
from services.load.schedule import ARRIVALS, Step

STEADY, STEPPED, RAMP = "steady", "steps", "ramp"


@dataclass(frozen=True)
class StepBounds:
    """The bounds within which a step counts as held.

    Args:
        goodput: least share of offered requests that is answered, 0 to 1.
        p99_ms: highest 99th percentile, milliseconds from the time a request was due.
    """

    goodput: float = 0.95
    p99_ms: float = 250.0


@dataclass(frozen=True)
class Profile:
    """The shape of a run.

    Args:
        kind: steady, steps or ramp.
        rates: of the steps; empty for a ramp, which finds its own.
        step_s: duration of each step, seconds.
        arrivals: see Step.
        seed: seed of the arrivals.
        bounds: when a step counts as held.
        search: parameters of a ramp.
        warm_up_s: seconds at the first rate that are not counted.
    """

    kind: str
    rates: Sequence[float]
    step_s: float
    arrivals: str
    seed: int
    bounds: StepBounds = StepBounds()
    search: Search | None = None
    warm_up_s: float = 0.0

    def step(self, number: int, rate: float) -> Step:
        """The step of this number, with its own seed."""
        return Step(rate, self.step_s, self.arrivals, seed=self.seed * 1_000_003 + number)

    def steps(self) -> list[Step]:
        """The steps of `rates`; none for a ramp."""
        return [self.step(number, rate) for number, rate in enumerate(self.rates)]

    def warm_up(self) -> list[Step]:
        """The warm-up step, if there is one."""
        rate = self.search.start if self.search else self.rates[0]
        return [Step(rate, self.warm_up_s, self.arrivals, self.seed)] if self.warm_up_s else []


def make_profile(
    rate: float | None,
    duration_s: float | None,
    steps: str,
    step_duration_s: float,
    ramp: bool,
    search: Search,
    bounds: StepBounds,
    arrivals: str,
    seed: int,
    warm_up_s: float,
) -> Profile:
    """The profile of the command's options; ConfigurationError names the option that is wrong or missing."""
    if sum((rate is not None, bool(steps), ramp)) != 1:
        raise ConfigurationError("profile: give one of --rate (with --duration), --steps and --ramp")
    if duration_s is not None and rate is None:
        raise ConfigurationError("--duration: goes with --rate; --steps and --ramp take --step-duration")
    if arrivals not in ARRIVALS:
        raise ConfigurationError(f"--arrivals: {arrivals!r} is none of {', '.join(ARRIVALS)}")
    warm_up_s = check_positive("--warm-up", warm_up_s, 0)
    common = {"arrivals": arrivals, "seed": seed, "bounds": bounds, "warm_up_s": warm_up_s}
    check_positive("--max-p99", bounds.p99_ms)
    if not 0 < bounds.goodput <= 1:
        raise ConfigurationError(f"--min-goodput: {bounds.goodput:g} is not above 0 and at most 1")
    if rate is not None:
        rates = [check_positive("--rate", rate)]
        step_s = check_positive("--duration", 30.0 if duration_s is None else duration_s)
        return Profile(STEADY, rates, step_s, **common)  # type: ignore[arg-type]
    step_s = check_positive("--step-duration", step_duration_s)
    if steps:
        return Profile(STEPPED, parse_rates(steps), step_s, **common)  # type: ignore[arg-type]
    return Profile(RAMP, [], step_s, search=_check_search(search), **common)  # type: ignore[arg-type]


def parse_rates(steps: str) -> list[float]:
    """Rates like 100,200,300; ConfigurationError for what is not a rate."""
    rates = []
    for text in steps.split(","):
        try:
            rates.append(check_positive("--steps", float(text)))
        except ValueError as error:
            raise ConfigurationError(f"--steps: {text.strip()!r} is not a rate; they look like 100,200,300") from error
    return rates


def _check_search(search: Search) -> Search:
    check_positive("--ramp-start", search.start)
    check_positive("--precision", search.precision)
    if search.highest < search.start:
        raise ConfigurationError("--ramp-highest: is less than --ramp-start")
    if search.factor <= 1:
        raise ConfigurationError(f"--ramp-factor: {search.factor:g} is not more than 1")
    return search


def check_positive(name: str, value: float, least: float = 1e-9) -> float:
    """The value; ConfigurationError, naming the option, if it is not a number of at least `least`."""
    if not least <= value < float("inf"):
        raise ConfigurationError(f"{name}: {value:g} is not {'positive' if least else 'zero or more'}")
    return value
