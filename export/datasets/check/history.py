"""Checks of the history against the feature settings: time unit, equal times, half-lives, sizes of users' tables.

Pure functions of compact columns; times in milliseconds.
"""

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns, Ints
from export.datasets.check.half_lives import propose_half_lives, sample_ages, toml_line
from export.datasets.check.report import Finding, Level, Number, level_of_share
from services.features.config import FeatureConfig

DAY_MS = 86_400_000

HUMAN_GAP_MS = 100
"""Median time between two actions of a user below which times are hardly those of a human."""

FADED = 7
"""Half-lives after which less than 1 % of a count is left."""

FAR = 8.0
"""A proposed half-life that is this far, as a ratio, from every half-life of the settings is worth taking."""


def check_time_unit(events: EventColumns) -> Finding:
    """Find times that are all equal, too dense for humans, or whole days."""
    at = np.flatnonzero(events.behavior) if events.behavior.any() else np.arange(len(events.time))
    times = events.time[at]
    name, span = "time unit", int(np.ptp(times))
    gaps = _user_gaps(events, at)
    numbers = {"span": _duration(span), "median gap of a user": _duration(float(np.median(gaps))) if len(gaps) else "-"}
    if len(times) > 1 and not span:
        text = "All events have the same time, so no event is history for another: give each the time when it happened."
        return Finding(name, "error", text, numbers)
    if len(gaps) and np.median(gaps) < HUMAN_GAP_MS:
        text = (
            "Actions of a user follow each other faster than a human acts: are these positions, or seconds, taken as "
            "milliseconds? Times must be milliseconds since 1970, or RFC 3339."
        )
        return Finding(name, "warning", text, numbers)
    if len(times) > 1 and not (times % DAY_MS).any():
        text = (
            "Times are whole days: rows see nothing of their own day, and half-lives below a day tell nothing; log "
            "finer times if there are any."
        )
        return Finding(name, "note", text, numbers)
    return Finding(name, "ok", "Times are as dense as those of humans.", numbers)


def _user_gaps(events: EventColumns, at: Ints) -> Ints:
    """Milliseconds between consecutive events `at` of each user; equal times have no gap."""
    order = at[np.lexsort((events.time[at], events.user[at]))]
    gaps = np.diff(events.time[order])[np.diff(events.user[order]) == 0]
    return np.asarray(gaps[gaps > 0])


def check_equal_times(events: EventColumns) -> Finding:
    """Find actions of a user with the same time as another action of theirs."""
    actions = np.flatnonzero(events.actions)
    key = events.user[actions] * (int(np.ptp(events.time)) + 1) + events.time[actions] - events.time.min()
    count = np.unique(key, return_counts=True)[1]
    equal = int(count[count > 1].sum())
    share = equal / max(len(actions), 1)
    return Finding(
        "actions at the same time",
        level_of_share(share, 0.1, 2.0),
        "These actions are no history for each other, as in a basket; if they happened one after the other, log finer "
        "times."
        if equal
        else "No two actions of a user have the same time.",
        {"actions": len(actions), "at the same time": equal, "share": round(share, 4)},
    )


def check_half_lives(events: EventColumns, config: FeatureConfig) -> Finding:
    """Compare the half-lives of the settings with the ages that history has when it is read."""
    actions = np.flatnonzero(events.actions)
    ages = sample_ages(events.user[actions], events.item[actions], events.time[actions])
    proposed, taken = propose_half_lives(ages), config.half_lives_s
    longest = taken[-1]
    faded = float((ages.user_s > FADED * longest).mean()) if len(ages.user_s) else 0.0
    missing = [h for h in proposed if all(max(h / have, have / h) >= FAR for have in taken)]
    level: Level = "warning" if faded > 0.5 else "note" if faded > 0.1 or missing else "ok"
    numbers: dict[str, Number] = {
        "settings": [_duration(1000 * h) for h in taken],
        "proposed": [_duration(1000 * h) for h in proposed],
        "faded history": f"{faded:.1%}",
    }
    if not proposed:
        return Finding("half-lives", "note", "No action has an earlier one: there is no history to count.", numbers)
    text = (
        f"Proposed for these events, in [features]: {toml_line(proposed)}. "
        + ("Most of a user's history has faded when it is read." if level == "warning" else "")
    ).strip()
    return Finding("half-lives", level, text if level != "ok" else "They span the ages of this history.", numbers)


def check_table_sizes(data: CheckedData, config: FeatureConfig) -> Finding:
    """Find users whose items, scenarios or facets exceed the tables of their rows."""
    events = data.events
    actions = np.flatnonzero(events.behavior & (events.item != NONE))
    user, item, scenario = events.user[actions], events.item[actions], events.scenario[actions].astype(np.int64)
    pairs = np.unique(user * data.items.items + item)
    places = np.unique(user * len(data.scenarios) + scenario)
    in_place = np.unique((user * len(data.scenarios) + scenario) * data.items.items + item)
    sizes = {
        "user_items": np.bincount(pairs // data.items.items),
        "user_scenario_items": np.bincount(in_place // data.items.items),
        "user_scenarios": np.bincount(places // len(data.scenarios)),
        "user_facets": _facets_per_user(data, pairs),
    }
    numbers: dict[str, Number] = {}
    worst = 0.0
    for name, counts in sizes.items():
        held = counts[counts > 0]
        over = float((held > getattr(config, name)).mean()) if len(held) else 0.0
        worst = max(worst, over)
        if over:
            numbers[f"features.{name}"] = f"{getattr(config, name)}, exceeded by {over:.1%}, most {int(held.max())}"
    return Finding(
        "sizes of users' tables",
        level_of_share(worst, 0, 0.2),
        "Rows keep a user's latest entries up to these sizes; more are forgotten: raise the settings if that is "
        "history that counts."
        if numbers
        else "Every user's items, scenarios, categories and brands fit.",
        numbers,
    )


def _facets_per_user(data: CheckedData, pairs: Ints) -> Ints:
    """Number of distinct facets of each user's items; `pairs` are the distinct user * items + item."""
    rows = data.items
    facets = np.zeros((rows.items, rows.facets.shape[1] if rows.facets.ndim == 2 else 0), np.int64)
    facets[rows.item[rows.own]] = rows.facets[rows.own]
    names, code = np.unique(facets, return_inverse=True)
    code = code.reshape(facets.shape)
    user, item = pairs // rows.items, pairs % rows.items
    held = np.unique((user[:, None] * len(names) + code[item])[facets[item] != 0])
    return np.bincount(held // max(len(names), 1))


def _duration(milliseconds: float) -> str:
    """A duration in its largest unit of at least 1."""
    units = ((DAY_MS, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))
    size, unit = next(((size, unit) for size, unit in units if milliseconds >= size), (1, "ms"))
    return f"{milliseconds / size:.3g} {unit}"
