"""What a positive is: a label of the rows, a rating from a threshold on, or what was done against what was not.

Pure, on profiles.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from export.datasets.start.names import EVENT_FILE_WORDS, TYPE_WORDS, named_in, plain, word_of
from export.datasets.start.profile import ColumnProfile, FileProfile
from export.datasets.start.roles import EventRoles
from services.features.event_types import ENGAGEMENT_TYPES

Setting = tuple[Any, str]

ABOVE = 0.65
"""A rating is positive from the first one on that is so far up the scale: 4 of 5, 7 of 10."""

MOST_STARS = 25
"""Distinct values up to which numbers are a scale of ratings."""


@dataclass
class ProposedLabels:
    """Settings of [dataset], [features] and [source], values of all events, and guesses."""

    dataset: dict[str, Setting] = field(default_factory=dict)
    features: dict[str, Setting] = field(default_factory=dict)
    source: dict[str, Setting] = field(default_factory=dict)
    values: dict[str, Setting] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def propose_labels(file: FileProfile, roles: EventRoles) -> ProposedLabels:
    """From a column of labels, of types, of ratings, or from the names of file and columns."""
    label, kind, value = (roles.column(role, file) for role in ("label", "type", "value"))
    if label:
        for role in ("value", "type"):
            roles.columns.pop(role, None)
        return _given_labels(label, file, kind)
    if kind:
        return _of_types(kind)
    said = named_in(" ".join([file.path.stem, *file.columns]), EVENT_FILE_WORDS)
    if value and value.kind in {"integer", "number"} and said != "purchase":
        return _of_values(value)
    if value and said == "purchase":
        roles.columns.pop("value", None)
    return _of_one_type(said if said == "purchase" else "click", file)


def _given_labels(label: ColumnProfile, file: FileProfile, kind: ColumnProfile | None) -> ProposedLabels:
    found = ProposedLabels()
    ones = pc.is_in(pc.utf8_lower(label.values), value_set=pc.cast(["1", "true", "yes", "1.0"], "string"))
    share = float(pc.mean(pc.cast(ones, "float64")).as_py() or 0.0)
    found.values["type"] = ("impression", f"each row was shown; {label.name} says whether the user engaged")
    event = named_in(label.name, {"purchase": ("purchas", "buy", "bought", "order", "convert")}) or "click"
    found.source["positive_event"] = (event, f"what a user did where {label.name} is 1, so that features count it")
    found.notes.append(f"{label.name} is the label: {share:.1%} of {file.rows:,} rows are positive")
    if kind:
        found.notes.append(f"{kind.name} is not used, since {label.name} says what happened")
    return found


def _of_types(kind: ColumnProfile) -> ProposedLabels:
    found = ProposedLabels()
    words = {word: word_of(word, TYPE_WORDS) or "" for word in sorted(kind.words)}
    if changed := {word: event for word, event in words.items() if word != event}:
        found.source["types"] = (changed, f"words of {kind.name} for event types; rows of the empty one are left out")
    left = [word for word, event in words.items() if not event]
    if left:
        found.notes.append(
            f"rows with {kind.name} {', '.join(left)} are left out: they are no engagement that is known"
        )
    types = [event for event in ENGAGEMENT_TYPES if event in words.values() and event != "rating"]
    found.dataset["label_events"] = (types or ["click"], "events that make a row positive")
    if "impression" in words.values():
        found.dataset["negatives"] = ("shown", "impressions without such an event are negatives")
    else:
        found.dataset["negatives"] = ("sampled", "nothing says what was shown: negatives are drawn from the items")
    return found


def _of_values(value: ColumnProfile) -> ProposedLabels:
    found, numbers = ProposedLabels(), np.unique(value.numbers)
    found.values["type"] = ("rating", f"{value.name} is what the user gave")
    if len(numbers) <= MOST_STARS:
        least = numbers[0] + ABOVE * (numbers[-1] - numbers[0])
        threshold = float(numbers[numbers >= least - 1e-9][0])
        why = f"of {numbers[0]:g} to {numbers[-1]:g}"
    else:
        threshold = float(np.median(value.numbers))
        why = "the median"
    share = float((value.numbers >= threshold).mean())
    found.dataset["label_events"] = (["rating"], f"{value.name} makes the label")
    found.features["liked_from"] = (
        {"rating": threshold},
        f"{why}: liked and positive from here on, {share:.0%} of the rows",
    )
    found.notes.append(
        f"{value.name} from {threshold:g} on is positive ({share:.0%} of the rows): set it to what you mean"
    )
    return found


def _of_one_type(kind: str, file: FileProfile) -> ProposedLabels:
    found = ProposedLabels()
    found.values["type"] = (kind, "all rows are alike")
    found.dataset["label_events"] = ([kind], "events that make a row positive")
    found.dataset["negatives"] = ("sampled", "nothing says what was shown: negatives are drawn from the items")
    found.notes.append(f"no column of {file.path.name} says what users did: every row is a {plain(kind)}")
    return found
