"""What a run offers: a steady rate, steps, or a ramp up to the knee. Reads options, names those that are wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import ConfigurationError
from services.load.knee import Search
from services.load.schedule import ARRIVALS, Step

STEADY, STEPPED, RAMP = "steady", "steps", "ramp"


@dataclass(frozen=True)
class Bounds:
    """What a step must keep for its rate to count as held.

    Args:
        goodput: answers per offered request, 0 to 1.
        p99_ms: highest 99th percentile, milliseconds from the time a request was due.
    """

    goodput: float = 0.95
    p99_ms: float = 250.0


@dataclass(frozen=True)
class Profile:
    """The shape of a run.

    Args:
        kind: steady, steps or ramp.
        rates: of the steps; a ramp's are found as it goes.
        step_s: duration of each step, seconds.
        arrivals: see Step.
        seed: of the arrivals.
        bounds: what counts as held.
        search: of a ramp.
        warm_up_s: seconds at the first rate that are not counted.
    """

    kind: str
    rates: Sequence[float]
    step_s: float
    arrivals: str
    seed: int
    bounds: Bounds = Bounds()
    search: Search | None = None
    warm_up_s: float = 0.0

    def step(self, number: int, rate: float) -> Step:
        """The step of that number, with arrivals of its own."""
        return Step(rate, self.step_s, self.arrivals, seed=self.seed * 1_000_003 + number)

    def steps(self) -> list[Step]:
        """The steps that are known beforehand."""
        return [self.step(number, rate) for number, rate in enumerate(self.rates)]

    def warm_up(self) -> list[Step]:
        """What to offer before anything counts."""
        rate = self.search.start if self.search else self.rates[0]
        return [Step(rate, self.warm_up_s, self.arrivals, self.seed)] if self.warm_up_s else []


def make_profile(
    rate: float | None,
    duration_s: float | None,
    steps: str,
    step_duration_s: float,
    ramp: bool,
    search: Search,
    bounds: Bounds,
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
    common = {"arrivals": arrivals, "seed": seed, "bounds": bounds, "warm_up_s": positive("--warm-up", warm_up_s, 0)}
    positive("--max-p99", bounds.p99_ms)
    if not 0 < bounds.goodput <= 1:
        raise ConfigurationError(f"--min-goodput: {bounds.goodput:g} is not above 0 and at most 1")
    if rate is not None:
        rates = [positive("--rate", rate)]
        return Profile(STEADY, rates, positive("--duration", 30.0 if duration_s is None else duration_s), **common)  # type: ignore[arg-type]
    step_s = positive("--step-duration", step_duration_s)
    if steps:
        return Profile(STEPPED, rates_of(steps), step_s, **common)  # type: ignore[arg-type]
    return Profile(RAMP, [], step_s, search=_checked(search), **common)  # type: ignore[arg-type]


def rates_of(steps: str) -> list[float]:
    """Rates like 100,200,300; ConfigurationError for what is not a rate."""
    rates = []
    for text in steps.split(","):
        try:
            rates.append(positive("--steps", float(text)))
        except ValueError as error:
            raise ConfigurationError(f"--steps: {text.strip()!r} is not a rate; they look like 100,200,300") from error
    return rates


def _checked(search: Search) -> Search:
    positive("--ramp-start", search.start)
    positive("--precision", search.precision)
    if search.highest < search.start:
        raise ConfigurationError("--ramp-highest: is less than --ramp-start")
    if search.factor <= 1:
        raise ConfigurationError(f"--ramp-factor: {search.factor:g} is not more than 1")
    return search


def positive(name: str, value: float, least: float = 1e-9) -> float:
    """The value; ConfigurationError, naming the option, if it is not a number of at least `least`."""
    if not least <= value < float("inf"):
        raise ConfigurationError(f"{name}: {value:g} is not {'positive' if least else 'zero or more'}")
    return value
