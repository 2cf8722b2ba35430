"""Features for recognising the scenario of a request, and a prior over scenarios from event counts.

Pure functions of feature rows, used by training and serving. Knows nothing of forests or requests.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import MAX_ATTRIBUTE
from services.features.config import DAY_S, FeatureConfig
from services.features.decay import decay_factors
from services.features.opinions import count_dislikes
from services.features.population import shares
from services.features.rows import Block, Floats, Ints, counts_by_type

NEVER_DAYS = 9999.0
"""Days since the last event in a scenario where the user has none."""

PRIOR_STRENGTH = 1.0
"""Weight of the population's shares, in events, relative to the user's own events."""

_MONDAY = 3
"""1970-01-01 was a Thursday: days since then, plus this, count from a Monday."""


def recognition_names(config: FeatureConfig, sources: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of `recognition_features`, in order; half-lives in seconds."""
    half_lives = [f"{half_life:g}s" for half_life in config.half_lives_s]
    return (
        *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"),
        *(f"context_{column}" for column in config.columns_of("context")),
        *(f"own_events_{half_life}" for half_life in half_lives),
        *(f"own_share_{half_life}[{source}]" for source in sources for half_life in half_lives),
        *(f"days_since[{source}]" for source in sources),
        *(f"last[{source}]" for source in sources),
        *(f"population_share_{half_life}[{source}]" for source in sources for half_life in half_lives),
    )


def recognition_features(
    config: FeatureConfig, time_s: Floats, user_scenario: Block, activity: Block, context: Floats
) -> NDArray[np.float32]:
    """Features known before the scenario at R moments: [R, F], columns named by `recognition_names`.

    Args:
        config: feature settings.
        time_s: [R] time of each moment, seconds since 1970; hour and weekday are UTC, as points on a circle.
        user_scenario: [R * J] rows of the moments' users per source scenario, scenario fastest.
        activity: [J] rows of `scenario_activity`, or [R * J] rows as of each moment, scenario fastest.
        context: [R, A] declared context attributes, encoded.
    """
    moments, sources = len(time_s), user_scenario.size // len(time_s)
    own = _events(config, user_scenario, np.repeat(time_s, sources)).reshape(moments, sources, -1)
    population = _population(config, activity, time_s, sources)
    newest = user_scenario.floats("time_s").reshape(moments, sources)
    days = np.where(newest > 0, np.maximum(time_s[:, None] - newest, 0.0) / DAY_S, NEVER_DAYS)
    parts = [
        *(_on_circle(time_s % DAY_S / DAY_S), _on_circle((time_s // DAY_S + _MONDAY) % 7 / 7)),
        np.clip(context, -MAX_ATTRIBUTE, MAX_ATTRIBUTE),
        own.sum(axis=1),
        shares(own, axis=1).reshape(moments, -1),
        np.minimum(days, NEVER_DAYS),
        np.where(newest > 0, np.eye(sources)[newest.argmax(axis=1)], 0.0),
        shares(population, axis=1).reshape(moments, -1),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def user_prior(config: FeatureConfig, time_s: Floats, user_scenario: Block, activity: Block) -> Floats:
    """Prior over scenarios, [R, J]: the user's decayed events plus the population's shares; uniform without events.

    Under the longest half-life; the arguments are those of `recognition_features`.
    """
    moments, sources = len(time_s), user_scenario.size // len(time_s)
    own = _events(config, user_scenario, np.repeat(time_s, sources))[:, -1].reshape(moments, sources)
    population = _population(config, activity, time_s, sources)[:, :, -1]
    total = population.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, population / np.where(total > 0, total, 1.0), 1 / sources)
    weight = own + PRIOR_STRENGTH * shares
    result: Floats = weight / weight.sum(axis=1, keepdims=True)
    return result


def restrict_prior(prior: Floats, eligible: NDArray[np.bool_]) -> Floats:
    """Condition a prior [..., J] on the `eligible` [J] scenarios; uniform over them if it has no mass there."""
    kept = np.where(eligible, prior, 0.0)
    total = kept.sum(axis=-1, keepdims=True)
    result: Floats = np.where(total > 0, kept / np.where(total > 0, total, 1.0), eligible / max(eligible.sum(), 1))
    return result


def mix_posterior(prior: Floats, recognised: Floats, index: Ints, source_only: NDArray[np.bool_]) -> Floats:
    """The posterior [J] over all current scenarios, some of which the recogniser may not know.

    Law of total probability: scenarios added after training keep their prior probability; the remaining probability
    is distributed as the recogniser's output. Scenarios that training used as sources only are never the target.

    Args:
        prior: [J] of `user_prior`.
        recognised: [K] probabilities of the recogniser's scenarios.
        index: [J] index of each scenario among those K, -1 if it is not one of them.
        source_only: [J] whether the scenario was a source only in training.
    """
    known = np.where(index >= 0, recognised[index], 0.0)
    eligible = ~source_only
    if known.sum() <= 0:
        return restrict_prior(prior, eligible) if eligible.any() else prior
    new = np.where((index < 0) & eligible, restrict_prior(prior, eligible), 0.0)
    result: Floats = new + (1 - new.sum()) * known / known.sum()
    return result


def _population(config: FeatureConfig, activity: Block, time_s: Floats, sources: int) -> Floats:
    """Decayed events of all users at each moment: [R, J, half-lives]."""
    if activity.size == sources:
        return _events(config, activity, time_s[:, None])
    return _events(config, activity, np.repeat(time_s, sources)).reshape(len(time_s), sources, -1)


def _events(config: FeatureConfig, block: Block, time_s: Floats) -> Floats:
    """Decayed events of all types at `time_s`, [rows] or [R, 1]: [rows, half-lives] or [R, rows, half-lives]."""
    counts = counts_by_type(block, len(config.half_lives_s)).sum(axis=1)
    if "opinions" in block.fixed:  # counts are without dislikes
        counts = counts + count_dislikes(config, block)
    result: Floats = counts * decay_factors(time_s - block.floats("time_s"), config.half_lives_s)
    return result


def _on_circle(turn: Floats) -> Floats:
    """Sine and cosine of a fraction of a full turn: [R, 2]."""
    return np.stack([np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)], axis=1)
