"""Feast's Value messages to arrays, one at a time: for rows whose layout is not this code's own."""

import numpy as np

from services.features.rows import DTYPES, default_value
from services.features.schema import SCALAR, Feature
from services.store.feast_api import Value


def to_array(feature: Feature, value: Value) -> np.ndarray:
    """The value, whatever its length; one that is not set takes the feature's default."""
    kind = value.WhichOneof("val")
    if kind is None:
        return default_value(feature)
    content = getattr(value, kind)
    return np.array(content if feature.length == SCALAR else content.val[:], DTYPES[feature.dtype])
