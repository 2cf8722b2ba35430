"""64-bit keys for ids and category values, the same in every process and on every machine.

Tables in feature rows hold keys instead of strings, so that whole candidate lists are compared at once.
"""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from services.features.ids import SEPARATOR

NO_KEY = 0
"""Key of 'no item' or 'no such facet'; `key64` never returns it."""


def key64(text: str) -> int:
    """Signed 64-bit key of a string: BLAKE2b, never 0. Two of a billion strings collide with p < 0.03."""
    key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
    return key or 1


def keys64(texts: Iterable[str]) -> NDArray[np.int64]:
    """`key64` of each string; the empty string gives NO_KEY."""
    return np.array([key64(text) if text else NO_KEY for text in texts], np.int64)


def facet_keys(categories: Iterable[str], brand: str, levels: int) -> NDArray[np.int64]:
    """Keys of an item's facets, [levels + 1]: category paths broad to fine, then brand.

    A category's key covers its path, so equal names below different parents stay apart. Missing levels
    and a missing brand give NO_KEY.
    """
    keys = np.zeros(levels + 1, np.int64)
    path = ""
    for level, category in enumerate(list(categories)[:levels]):
        path += SEPARATOR + category
        keys[level] = key64(f"category{path}")
    keys[levels] = key64(f"brand{SEPARATOR}{brand}") if brand else NO_KEY
    return keys
