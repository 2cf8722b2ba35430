"""Profiles: folds updates of users' attributes into the rows of users.

An update is the whole new state, valid from its time; the newest time wins, whatever the order of arrival, and of equal
times the later record. An update that is folded again changes nothing, so no ids are kept of updates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.rows import Block, Floats, Ints, is_new, newest_position
from services.features.schema import Schema


@dataclass(frozen=True)
class ProfileUpdates:
    """Updates of users' attributes side by side, in offset order per partition.

    Args:
        user: [U] user ids.
        time_s: [U] start of validity, seconds since 1970.
        attributes: [U, A] declared numbers, in order.
        category_keys: [U, C * SLOTS] keys of the values of declared categories.
        position: [U, 3] topic epoch, partition, offset.
    """

    user: NDArray[np.object_]
    time_s: Floats
    attributes: Floats
    category_keys: Ints
    position: Ints

    def __len__(self) -> int:
        return len(self.time_s)

    def take(self, index: NDArray[np.generic] | slice) -> "ProfileUpdates":
        """The updates at `index` (integers, a mask or a slice)."""
        return ProfileUpdates(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def no_updates() -> ProfileUpdates:
    """Nothing to fold."""
    nothing = np.zeros((0, 0))
    keys, positions = np.zeros((0, 0), np.int64), np.zeros((0, 3), np.int64)
    return ProfileUpdates(np.zeros(0, object), np.zeros(0), nothing, keys, positions)


def fold(schema: Schema, before: Block, after: Block, row: Ints, updates: ProfileUpdates) -> Block:
    """Fold updates into rows of `user`; returns the block after them.

    Args:
        schema: the feature schema, which declares attributes of users.
        before: the rows as they are stored: which updates are new to them.
        after: the rows after the events of the same batch.
        row: [U] index into the block, per update.
        updates: the updates.
    """
    new = np.flatnonzero(is_new(before, row, updates.position))
    new = new[updates.time_s[new] >= before.floats("profile_s")[row[new]]]
    new = new[np.argsort(updates.time_s[new], kind="stable")]
    values, profile_s = before.floats("attributes").copy(), before.floats("profile_s").copy()
    values[row[new]], profile_s[row[new]] = updates.attributes[new], updates.time_s[new]
    # Users without an event in the batch keep a language vector of another encoder, with its fingerprint.
    quiet = (after.ints("position") == before.ints("position")).all(axis=1)[:, None]
    language = np.where(quiet, before.floats("language"), after.floats("language"))
    columns: dict[str, NDArray[np.generic]] = {"attributes": values, "profile_s": profile_s, "language": language}
    if "category_keys" in before.fixed:
        keys = before.ints("category_keys").copy()
        keys[row[new]] = updates.category_keys[new]
        columns["category_keys"] = keys
    position = newest_position(after, row, updates.position)
    touched = (position != before.ints("position")).any(axis=1)
    columns |= {"position": position, "schema": np.where(touched, schema.fingerprint, before.ints("schema"))}
    return after.with_columns(columns)


def has_features(schema: Schema, user: Block) -> NDArray[np.bool_]:
    """Which rows of `user` [R] say anything of their users: an event, or an attribute that is not the default."""
    known: NDArray[np.bool_] = user.floats("time_s") > 0
    if schema.config.attributes_of("user"):
        known = known | (user.floats("attributes") != np.array(schema["user"]["attributes"].default)).any(axis=1)
        if "category_keys" in user.fixed:
            known = known | user.ints("category_keys").any(axis=1)
    return known
