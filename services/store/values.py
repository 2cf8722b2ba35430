"""Rows to Feast's Value messages and back; arrays are lists, scalars scalars, nothing is packed out of sight."""

from collections.abc import Mapping

import numpy as np

from services.features.rows import Row, default_of
from services.features.schema import SCALAR, Feature, View
from services.store.feast_api import DoubleList, Int64List, StringList, Value


def to_values(view: View, row: Row) -> dict[str, Value]:
    """The row as Feast values."""
    return {feature.name: _to_value(feature, row[feature.name]) for feature in view.features}


def to_row(view: View, values: Mapping[str, Value]) -> Row:
    """A row from Feast values; a value that is not set takes the feature's default."""
    return {feature.name: _to_array(feature, values[feature.name]) for feature in view.features}


def _to_value(feature: Feature, array: np.ndarray) -> Value:
    content = array.tolist()
    if feature.length == SCALAR:
        match feature.dtype:
            case "float64":
                return Value(double_val=content)
            case "int64":
                return Value(int64_val=content)
            case _:
                return Value(string_val=content)
    match feature.dtype:
        case "float64":
            return Value(double_list_val=DoubleList(val=content))
        case "int64":
            return Value(int64_list_val=Int64List(val=content))
        case _:
            return Value(string_list_val=StringList(val=content))


def _to_array(feature: Feature, value: Value) -> np.ndarray:
    kind = value.WhichOneof("val")
    if kind is None:
        return default_of(feature)
    content = getattr(value, kind)
    if feature.length == SCALAR:
        return np.array(content, object if feature.dtype == "string" else feature.dtype)
    return np.array(content.val[:], object if feature.dtype == "string" else feature.dtype)
