"""What serves of a model: arms with shares of the users, a shadow, and what served before; a small JSON file.

The file is `<registry>/<name>/serving.json`; without it the newest version serves. Everything here is a function of
plans: who reads and writes them is elsewhere.

    {"format": 1, "experiment": "", "arms": [{"arm": "", "model": "neural/3", "weight": 1.0}], "shadow": "neural/4",
     "since": "2026-07-02T10:00:00+00:00", "history": [{the same without format and history, newest last}]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Self

from services.errors import CrossRecError
from services.registry.reader import ModelUnavailable, Version

SERVING = "serving.json"
FORMAT = 1
STEPS = 1000
"""Weights are multiples of 1 / STEPS."""
MOST_HISTORY = 50
CONTROL = "control"
"""The arm of what served when an experiment begins."""


class PlanError(CrossRecError):
    """A serving file, or a change of it, breaks a rule; the text names the field."""


@dataclass(frozen=True)
class Arm:
    """A share of the users and what ranks for them.

    Args:
        arm: its name in answers; "" where no experiment runs.
        model: the version.
        weight: the share, a multiple of 0.001.
    """

    arm: str
    model: Version
    weight: float

    @property
    def steps(self) -> int:
        """The weight in thousandths."""
        return _steps(self.weight)


@dataclass(frozen=True)
class Plan:
    """What serves.

    Args:
        arms: at least one; their weights sum to 1.
        experiment: name that, with the user's id, decides the arm; "" where no experiment runs.
        shadow: scores what the arms score, for comparison.
        since: when this was decided, ISO 8601; "" where nobody decided.
    """

    arms: tuple[Arm, ...]
    experiment: str = ""
    shadow: Version | None = None
    since: str = ""

    def __post_init__(self) -> None:
        names = [arm.arm for arm in self.arms]
        for arm in self.arms:
            if _steps(arm.weight) < 1:
                raise PlanError(f"weight: {arm.weight:g} of arm {arm.arm!r} is no multiple of 0.001 from 0.001 to 1")
        if sum(arm.steps for arm in self.arms) != STEPS:
            raise PlanError(f"arms: their weights sum to {sum(arm.weight for arm in self.arms):g}, they must sum to 1")
        if len(set(names)) < len(names) or (len(names) > 1 and "" in names):
            raise PlanError(f"arms: each needs a name of its own, there are {names}")
        if len(names) > 1 and not self.experiment:
            raise PlanError("experiment: several arms need the name of an experiment")

    @classmethod
    def of(cls, version: Version, since: str = "") -> Self:
        """One version for everybody."""
        return cls((Arm("", version, 1.0),), since=since)

    @property
    def models(self) -> tuple[Version, ...]:
        """The versions that it needs, each once; those of the arms first."""
        versions = [arm.model for arm in self.arms] + ([self.shadow] if self.shadow else [])
        return tuple(dict.fromkeys(versions))


@dataclass(frozen=True)
class Serving:
    """A serving file: what serves and what served before, newest last."""

    plan: Plan
    history: tuple[Plan, ...] = ()


def read_serving(content: bytes, where: str) -> Serving:
    """A serving file's content; PlanError naming the file and what is wrong."""
    try:
        data = json.loads(content)
        if data["format"] == FORMAT:
            return Serving(_plan(data), tuple(_plan(earlier) for earlier in data["history"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PlanError(f"{where}: it is no serving file: {type(error).__name__} {error}") from error
    except (PlanError, ModelUnavailable) as error:
        raise PlanError(f"{where}: {error}") from error
    raise PlanError(f"{where}: format: it is {data['format']!r}, this code reads {FORMAT}")


def serving_bytes(serving: Serving) -> bytes:
    """The content of a serving file."""
    history = [_described(plan) for plan in serving.history[-MOST_HISTORY:]]
    return (json.dumps({"format": FORMAT, **_described(serving.plan), "history": history}, indent=2) + "\n").encode()


def promoted(serving: Serving, version: Version, now: str) -> Serving:
    """The version serves everybody, and nothing else does anything: experiment and shadow end."""
    return _next(serving, Plan.of(version, now))


def with_arm(serving: Serving, version: Version, arm: str, weight: float, experiment: str, now: str) -> Serving:
    """The version gets a share of the users; the other arms share the rest as before.

    The first arm begins an experiment, against what serves as the arm `control`. The name of a running experiment
    stays unless another one is given: users change their arms only as far as the weights demand.
    """
    if not arm:
        raise PlanError("arm: it needs a name")
    share = _steps(weight)
    if not 0 < share < STEPS:
        raise PlanError(f"weight: {weight:g} is no multiple of 0.001 from 0.001 to 0.999")
    others = [other for other in serving.plan.arms if other.arm != arm]
    if len(serving.plan.arms) == 1 and not serving.plan.arms[0].arm:
        if arm == CONTROL:
            raise PlanError(f"arm: {CONTROL} is the arm of what serves now")
        others = [replace(serving.plan.arms[0], arm=CONTROL)]
    if not others:
        raise PlanError(f"arm: {arm} is the only one; promote the version without an arm to serve it to all")
    arms = (*_scaled(others, STEPS - share), Arm(arm, version, share / STEPS))
    name = experiment or serving.plan.experiment or f"{version.name} {now}"
    shadow = None if serving.plan.shadow == version else serving.plan.shadow
    return _next(serving, Plan(arms, name, shadow, now))


def with_shadow(serving: Serving, version: Version, now: str) -> Serving:
    """The version is the shadow."""
    if version in {arm.model for arm in serving.plan.arms}:
        raise PlanError(f"shadow: {version} serves, a shadow is compared with what serves")
    return _next(serving, replace(serving.plan, shadow=version, since=now))


def rolled_back(serving: Serving) -> Serving:
    """What served before serves again; PlanError if nothing did."""
    if not serving.history:
        raise PlanError("history: nothing served before that is known")
    return Serving(serving.history[-1], serving.history[:-1])


def _steps(weight: float) -> int:
    """A weight in thousandths; 0 if it is no whole number of them."""
    steps = weight * STEPS
    return round(steps) if isfinite(steps) and abs(steps - round(steps)) < 1e-6 else 0


def _next(serving: Serving, plan: Plan) -> Serving:
    if replace(plan, since="") == replace(serving.plan, since=""):
        raise PlanError(f"nothing changes: {described(plan)} already")
    return Serving(plan, (*serving.history, serving.plan)[-MOST_HISTORY:])


def _scaled(arms: Sequence[Arm], steps: int) -> tuple[Arm, ...]:
    """The arms with their weights in proportion, `steps` thousandths together, at least one each."""
    total = sum(arm.steps for arm in arms)
    shares = [max(1, arm.steps * steps // total) for arm in arms]
    largest = shares.index(max(shares))
    shares[largest] += steps - sum(shares)
    if shares[largest] < 1:
        raise PlanError(f"weight: it leaves {steps / STEPS:g} for {len(arms)} other arms, 0.001 each is the least")
    return tuple(replace(arm, weight=share / STEPS) for arm, share in zip(arms, shares, strict=True))


def described(plan: Plan) -> str:
    """A plan in words."""
    arms = [f"{arm.model} as {arm.arm} to {arm.weight:.1%}" if arm.arm else f"{arm.model} to all" for arm in plan.arms]
    shadow = f", {plan.shadow} in the shadow" if plan.shadow else ""
    return f"{', '.join(arms)}{shadow}"


def _described(plan: Plan) -> dict[str, Any]:
    arms = [{"arm": arm.arm, "model": str(arm.model), "weight": arm.weight} for arm in plan.arms]
    shadow = str(plan.shadow) if plan.shadow else None
    return {"experiment": plan.experiment, "arms": arms, "shadow": shadow, "since": plan.since}


def _plan(data: Mapping[str, Any]) -> Plan:
    arms = tuple(
        Arm(str(arm["arm"]), Version.parse(arm["model"], "arms.model"), float(arm["weight"])) for arm in data["arms"]
    )
    shadow = Version.parse(data["shadow"], "shadow") if data.get("shadow") else None
    return Plan(arms, str(data.get("experiment", "")), shadow, str(data.get("since", "")))
