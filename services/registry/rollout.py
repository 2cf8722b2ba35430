"""The rollout of a model: arms with shares of the users, a shadow, and the history of rollouts; a small JSON file.

The file is `<registry>/<name>/serving.json`; without it the newest version serves. A second
version is registered with a file that keeps the first one serving. Pure functions of rollouts:
`promotion.py` reads and writes the file.

    {"format": 1, "experiment": "", "arms": [{"arm": "", "model": "neural/3", "weight": 1.0}], "shadow": "neural/4",
     "since": "2026-07-02T10:00:00+00:00", "history": [{the same fields without format and history, newest last}]}
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
"""The arm of the version that serves when an experiment begins."""


class RolloutError(CrossRecError):
    """A serving file, or a change of it, breaks a rule; the text names the field."""


@dataclass(frozen=True)
class Arm:
    """A share of the users and the version that ranks for them.

    Args:
        arm: its name in answers; "" if no experiment runs.
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
class Rollout:
    """The versions that serve.

    Args:
        arms: at least one; their weights sum to 1.
        experiment: name that, with the user's id, determines the arm; "" if no experiment runs.
        shadow: scores the same requests as the arms, for comparison.
        since: time of the change, ISO 8601; "" for the default rollout.
    """

    arms: tuple[Arm, ...]
    experiment: str = ""
    shadow: Version | None = None
    since: str = ""

    def __post_init__(self) -> None:
        names = [arm.arm for arm in self.arms]
        for arm in self.arms:
            if _steps(arm.weight) < 1:
                text = f"weight: {arm.weight:g} of arm {arm.arm!r} is not a multiple of 0.001 from 0.001 to 1"
                raise RolloutError(text)
        if sum(arm.steps for arm in self.arms) != STEPS:
            total = sum(arm.weight for arm in self.arms)
            raise RolloutError(f"arms: their weights sum to {total:g}, they must sum to 1")
        if len(set(names)) < len(names) or (len(names) > 1 and "" in names):
            raise RolloutError(f"arms: each needs a distinct name, there are {names}")
        if len(names) > 1 and not self.experiment:
            raise RolloutError("experiment: several arms need the name of an experiment")

    @classmethod
    def of(cls, version: Version, since: str = "") -> Self:
        """One version for all users."""
        return cls((Arm("", version, 1.0),), since=since)

    @property
    def models(self) -> tuple[Version, ...]:
        """The versions of the rollout, each once; those of the arms first."""
        versions = [arm.model for arm in self.arms] + ([self.shadow] if self.shadow else [])
        return tuple(dict.fromkeys(versions))


@dataclass(frozen=True)
class ServingState:
    """The content of a serving file: the rollout and the earlier ones, newest last."""

    rollout: Rollout
    history: tuple[Rollout, ...] = ()


def parse_serving(content: bytes, where: str) -> ServingState:
    """Parse a serving file; raises RolloutError naming the file and the problem."""
    try:
        data = json.loads(content)
        if data["format"] == FORMAT:
            return ServingState(_rollout_from_json(data), tuple(map(_rollout_from_json, data["history"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RolloutError(f"{where}: not a serving file: {type(error).__name__} {error}") from error
    except (RolloutError, ModelUnavailable) as error:
        raise RolloutError(f"{where}: {error}") from error
    raise RolloutError(f"{where}: format: it is {data['format']!r}, this code reads {FORMAT}")


def serialize_serving(serving: ServingState) -> bytes:
    """The content of a serving file."""
    history = [_rollout_to_json(rollout) for rollout in serving.history[-MOST_HISTORY:]]
    content = {"format": FORMAT, **_rollout_to_json(serving.rollout), "history": history}
    return (json.dumps(content, indent=2) + "\n").encode()


def with_version(serving: ServingState, version: Version, now: str) -> ServingState:
    """The state in which the version serves all users; experiment and shadow end."""
    return _advance(serving, Rollout.of(version, now))


def with_arm(
    serving: ServingState, version: Version, arm: str, weight: float, experiment: str, now: str
) -> ServingState:
    """The state in which the version gets a share of the users; the other arms share the rest in proportion.

    The first arm begins an experiment against the version that serves, which becomes the arm `control`. The name of a
    running experiment stays unless another one is given, so that users change arms only as far as the weights demand.
    """
    if not arm:
        raise RolloutError("arm: it needs a name")
    share = _steps(weight)
    if not 0 < share < STEPS:
        raise RolloutError(f"weight: {weight:g} is not a multiple of 0.001 from 0.001 to 0.999")
    others = [other for other in serving.rollout.arms if other.arm != arm]
    if len(serving.rollout.arms) == 1 and not serving.rollout.arms[0].arm:
        if arm == CONTROL:
            raise RolloutError(f"arm: {CONTROL} is the arm of the version that serves now")
        others = [replace(serving.rollout.arms[0], arm=CONTROL)]
    if not others:
        raise RolloutError(f"arm: {arm} is the only one; promote the version without an arm to serve it to all users")
    arms = (*_scale_arms(others, STEPS - share), Arm(arm, version, share / STEPS))
    name = experiment or serving.rollout.experiment or f"{version.name} {now}"
    shadow = None if serving.rollout.shadow == version else serving.rollout.shadow
    return _advance(serving, Rollout(arms, name, shadow, now))


def with_shadow(serving: ServingState, version: Version, now: str) -> ServingState:
    """The state in which the version is the shadow."""
    if version in {arm.model for arm in serving.rollout.arms}:
        raise RolloutError(f"shadow: {version} serves already, a shadow is compared with the versions that serve")
    return _advance(serving, replace(serving.rollout, shadow=version, since=now))


def with_previous(serving: ServingState) -> ServingState:
    """The state in which the previous rollout serves again; raises RolloutError if there is none."""
    if not serving.history:
        raise RolloutError("history: no earlier rollout is known")
    return ServingState(serving.history[-1], serving.history[:-1])


def _steps(weight: float) -> int:
    """A weight in thousandths; 0 if it is not a whole number of them."""
    steps = weight * STEPS
    return round(steps) if isfinite(steps) and abs(steps - round(steps)) < 1e-6 else 0


def _advance(serving: ServingState, rollout: Rollout) -> ServingState:
    if replace(rollout, since="") == replace(serving.rollout, since=""):
        raise RolloutError(f"no change: {describe_rollout(rollout)} already")
    return ServingState(rollout, (*serving.history, serving.rollout)[-MOST_HISTORY:])


def _scale_arms(arms: Sequence[Arm], steps: int) -> tuple[Arm, ...]:
    """The arms with their weights scaled to a sum of `steps` thousandths, at least one each."""
    total = sum(arm.steps for arm in arms)
    shares = [max(1, arm.steps * steps // total) for arm in arms]
    largest = shares.index(max(shares))
    shares[largest] += steps - sum(shares)
    if shares[largest] < 1:
        raise RolloutError(f"weight: it leaves {steps / STEPS:g} for {len(arms)} other arms, each needs at least 0.001")
    return tuple(replace(arm, weight=share / STEPS) for arm, share in zip(arms, shares, strict=True))


def describe_rollout(rollout: Rollout) -> str:
    """A rollout as text."""
    arms = [
        f"{arm.model} as {arm.arm} to {arm.weight:.1%}" if arm.arm else f"{arm.model} to all" for arm in rollout.arms
    ]
    shadow = f", {rollout.shadow} as shadow" if rollout.shadow else ""
    return f"{', '.join(arms)}{shadow}"


def _rollout_to_json(rollout: Rollout) -> dict[str, Any]:
    arms = [{"arm": arm.arm, "model": str(arm.model), "weight": arm.weight} for arm in rollout.arms]
    shadow = str(rollout.shadow) if rollout.shadow else None
    return {"experiment": rollout.experiment, "arms": arms, "shadow": shadow, "since": rollout.since}


def _rollout_from_json(data: Mapping[str, Any]) -> Rollout:
    arms = tuple(
        Arm(str(arm["arm"]), Version.parse(arm["model"], "arms.model"), float(arm["weight"])) for arm in data["arms"]
    )
    shadow = Version.parse(data["shadow"], "shadow") if data.get("shadow") else None
    return Rollout(arms, str(data.get("experiment", "")), shadow, str(data.get("since", "")))
