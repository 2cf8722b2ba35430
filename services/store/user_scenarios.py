"""The scenarios in which a user has rows: listed in the user's row, and bounded; the weakest are removed.

Without a bound, every event in another scenario would add a row, and an entry to a list that every event rewrites.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.features.decay import log2_mass
from services.features.rows import Block, Floats, Ragged, counts_by_type, pack_rows, unpack_rows
from services.features.schema import Schema
from services.store.protocol import Key, RowStore, existing_rows, read_block

_COMPARED = frozenset({"time_s", "counts", "position", "schema"})
"""Features of `user_scenario` that are read of scenarios which a batch does not touch."""


@dataclass(frozen=True)
class UserScenarios:
    """Scenarios per user after a batch.

    Args:
        listed: ids per user, sorted.
        removed: pairs of user and scenario beyond the bound.
    """

    listed: list[list[str]]
    removed: frozenset[Key]

    def listed_in(self, users: Block) -> Block:
        """The rows of the users with these lists."""
        values = np.array([scenario for ids in self.listed for scenario in ids], object)
        lengths = np.array([len(ids) for ids in self.listed], np.int64)
        return users.with_columns({}, {"scenario_ids": Ragged(values, lengths)})


def write_user_scenarios(
    store: RowStore,
    schema: Schema,
    users: Sequence[Key],
    block: Block,
    pairs: Sequence[Key],
    before: Block,
    after: Block,
) -> UserScenarios:
    """Write the rows of pairs of users and scenarios, and remove those beyond `config.user_scenarios` per user.

    Args:
        store: holds the rows.
        schema: the feature schema.
        users: keys of the users.
        block: their rows, as they are stored.
        pairs: keys of the pairs that the batch touches.
        before: the rows of the pairs, as they are stored.
        after: the rows after the batch.
    """
    found = _bounded(store, schema, users, block, pairs, after)
    if not found.removed:
        store.write(pairs, after)
        return found
    # First of all, so that after a crash the user's row still lists what is to be removed.
    _remove(store, schema, pairs, before, found.removed)
    kept = [number for number, pair in enumerate(pairs) if pair not in found.removed]
    rows = unpack_rows(after)
    store.write([pairs[number] for number in kept], pack_rows(after.view, [rows[number] for number in kept]))
    return found


def _bounded(
    store: RowStore, schema: Schema, users: Sequence[Key], block: Block, pairs: Sequence[Key], after: Block
) -> UserScenarios:
    touched: dict[str, dict[str, int]] = {user: {} for (user,) in users}
    for number, (user, scenario) in enumerate(pairs):
        touched[user][scenario] = number
    stored = block.ragged["scenario_ids"]
    old = np.split(stored.values, np.cumsum(stored.lengths)[:-1])
    listed = [sorted(touched[user].keys() | set(ids)) for (user,), ids in zip(users, old, strict=True)]
    removed: list[Key] = []
    most = schema.config.user_scenarios
    strengths: Floats | None = None
    for number, ((user,), ids) in enumerate(zip(users, listed, strict=True)):
        if len(ids) <= most:
            continue
        strengths = _strengths(schema, after) if strengths is None else strengths
        own = {scenario: float(strengths[place]) for scenario, place in touched[user].items()}
        others = [scenario for scenario in ids if scenario not in own]
        rows = _read_compared(store, schema, [(user, scenario) for scenario in others])
        own |= dict(zip(others, _strengths(schema, rows).tolist(), strict=True))
        ranked = sorted(ids, key=lambda scenario: (-own[scenario], scenario))
        listed[number] = sorted(ranked[:most])
        removed += [(user, scenario) for scenario in ranked[most:]]
    return UserScenarios(listed, frozenset(removed))


def _strengths(schema: Schema, block: Block) -> Floats:
    """Decayed events of each row under the longest half-life, as comparable logs: [R]."""
    half_lives = schema.config.half_lives_s
    events = counts_by_type(block, len(half_lives))[:, :, -1].sum(axis=1)
    return log2_mass(events, block.floats("time_s"), half_lives[-1])


def _read_compared(store: RowStore, schema: Schema, keys: Sequence[Key]) -> Block:
    view = schema["user_scenario"]
    return read_block(store, view.without(*({f.name for f in view.features} - _COMPARED)), keys)


def _remove(store: RowStore, schema: Schema, pairs: Sequence[Key], before: Block, removed: frozenset[Key]) -> None:
    """Remove rows, each at its own position: a repeated batch may write at it, a former owner of the partition not."""
    known = {pair: number for number, pair in enumerate(pairs)}
    others = sorted(removed - known.keys())
    for keys, block in ((pairs, before), (others, _read_compared(store, schema, others))):
        at = block.ints("position")
        for number in np.flatnonzero(existing_rows(block)).tolist():
            if keys[number] in removed:
                store.delete(schema["user_scenario"], [keys[number]], at[number].tolist())
