"""Comparison of stream positions: which records a row already contains, and which writes come from a former owner.

A position is (topic epoch, partition, offset). Offsets are comparable within one epoch and partition only. The Redis
script in `services.store.redis.fence` repeats `is_fenced` in Lua; one table of cases tests both.

Every function takes three integers, an array [3] or an array [N, 3], and compares element by element.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Position = Sequence[int] | NDArray[np.generic]


def is_folded(position: Position, stored: Position) -> Any:
    """Whether a row at `stored` already contains the record at `position`: same partition, not a later offset.

    Such a record was folded before a crash and is skipped.
    """
    (epoch, partition, offset), (stored_epoch, stored_partition, stored_offset) = _parts(position), _parts(stored)
    return (epoch == stored_epoch) & (partition == stored_partition) & (offset <= stored_offset)


def is_behind(position: Position, stored: Position) -> Any:
    """Whether a row at `stored` contains a later record of the partition that `position` is of."""
    (epoch, partition, offset), (stored_epoch, stored_partition, stored_offset) = _parts(position), _parts(stored)
    return (epoch == stored_epoch) & (partition == stored_partition) & (offset < stored_offset)


def is_fenced(position: Position, stored: Position) -> Any:
    """Whether a write at `position` must be refused by a row at `stored`: it is behind, or of an older topic epoch.

    The writer has then lost its partition to another process.
    """
    return (_parts(position)[0] < _parts(stored)[0]) | is_behind(position, stored)


def _parts(position: Position) -> Any:
    """Epoch, partition and offset: integers, or arrays of them."""
    return position.T if isinstance(position, np.ndarray) else position
