"""Training choices by rule: what suits the training rows, each with its reason.

A million rows need other steps, widths and brakes than ten thousand. Settings and flags win over the rules. Knows
counts of rows; knows nothing of files or of training itself.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.models.config import TrainingConfig
from export.models.kind import Kind
from export.models.kinds import config_of, load_kind

STEPS_PER_PASS = 300
LEAST_BATCH, MOST_BATCH = 64, 4096
MOST_PASSES = 400

SMALL_BATCH = 2048
"""Steps of fewer rows take as long with two threads as with one (256 and 1,024 rows, two cores), and beside other work
five times as long, since threads spin while they wait for each other; of 4,096 rows two threads save a quarter."""

SMALL_FOREST = 300_000
"""Trees of fewer rows take one thread: beside other work two threads took 252 s for 80,000 rows, one takes 31 s."""

FEW = 20_000
"""Below this number of training rows models fit them by heart: measured on 8,500 rows of film ratings."""
DROPOUT, WEIGHT_DECAY, SLOWER = 0.3, 1e-2, {True: 2, False: 4}
"""Brakes for few rows; learning rates are divided by SLOWER, of kinds with hidden layers and without."""
WITHOUT_DROPOUT = {"star", "shared_bottom"}
TUNED_RATES = 5e-2
"""Kinds with this learning rate or more fit two numbers, which few rows give as well."""
OWN, SET = "the kind's own", "set"
SHOWN = (
    "hidden",
    "hidden_g",
    "members",
    "own_weight",
    "transfer_pull",
    "dropout",
    "epochs",
    "patience",
    "batch_rows",
    "learning_rate",
    "weight_decay",
    "threads",
)
SHOWN_OF_TREES = ("trees", "leaves", "learning_rate", "threads")


@dataclass(frozen=True)
class Choice:
    """A training choice.

    Args:
        name: a field of TrainingConfig.
        value: its value.
        reason: why it is that.
    """

    name: str
    value: Any
    reason: str

    def as_json(self) -> dict[str, str]:
        """For run.json and reports."""
        return {"name": self.name, "value": str(self.value), "reason": self.reason}


def choose(name: str, rows: int, *given: Mapping[str, Any]) -> tuple[TrainingConfig, list[Choice]]:
    """The config of a kind of model for a number of training rows, and every choice that concerns the kind.

    Args:
        name: one of export.models.kinds.KINDS; its own choices are those of a million rows.
        rows: number of training rows.
        given: what settings and flags say; later ones win, None says nothing.
    """
    kind = load_kind(name)
    said = {choice for values in given for choice, value in values.items() if value is not None}
    ruled = {choice.name: choice for choice in by_rule(kind, rows) if choice.name not in said}
    config = config_of(name, {choice.name: choice.value for choice in ruled.values()}, *given)
    names = SHOWN if kind.build else SHOWN_OF_TREES
    return config, [_choice(each, config, ruled, said) for each in names if _concerns(kind, each)]


def describe(choices: Sequence[Choice]) -> str:
    """The choices as a line, with the reasons of those that are not the kind's own."""
    parts = (f"{c.name} {c.value}" + (f" ({c.reason})" if c.reason != OWN else "") for c in choices)
    return ", ".join(parts)


def by_rule(kind: Kind, rows: int) -> Iterator[Choice]:
    """The choices in which fewer rows than a million differ from the kind's own."""
    if not kind.build:
        if rows < SMALL_FOREST:
            yield Choice("threads", 1, "trees of so few rows are not worth sharing")
        return
    own, batch = kind.config, batch_rows(rows)
    steps = -(-rows // batch)
    if batch < own.batch_rows:
        yield Choice("batch_rows", batch, f"{rows:,} rows: {steps} steps per pass")
    if batch < SMALL_BATCH:
        yield Choice("threads", 1, "steps are too small to share")
    passes = min(MOST_PASSES, round(own.epochs * STEPS_PER_PASS / max(steps, 1)))
    if passes > own.epochs and steps < STEPS_PER_PASS / 2**0.5:
        yield Choice("epochs", passes, f"{passes * steps:,} steps at most")
        yield Choice("patience", max(own.patience, passes // 4), "a quarter of the most passes")
    if rows < FEW and own.learning_rate < TUNED_RATES:
        reason = f"fewer than {FEW:,} rows are soon fitted by heart"
        yield Choice("learning_rate", own.learning_rate / SLOWER[bool(own.hidden)], reason)
        if own.hidden:
            yield Choice("weight_decay", WEIGHT_DECAY, reason)
        if _concerns(kind, "dropout"):
            yield Choice("dropout", DROPOUT, reason)


def batch_rows(rows: int) -> int:
    """Rows per step: the power of two nearest to a STEPS_PER_PASS-th of the rows."""
    wanted = max(rows / STEPS_PER_PASS, 1.0)
    return int(min(max(2 ** round(math.log2(wanted)), LEAST_BATCH), MOST_BATCH))


def _concerns(kind: Kind, name: str) -> bool:
    if name == "dropout":
        return bool(kind.config.hidden) and kind.name not in WITHOUT_DROPOUT
    if name == "hidden":
        return bool(kind.config.hidden)
    if name in {"hidden_g", "members", "own_weight", "transfer_pull"}:
        return kind.has_transfer
    return True


def _choice(name: str, config: TrainingConfig, ruled: Mapping[str, Choice], said: Collection[str]) -> Choice:
    return ruled.get(name) or Choice(name, getattr(config, name), SET if name in said else OWN)
