"""A stored feature: its type, length, default and half-life, and the names of its values.

Knows nothing of the views that features stand in.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Dtype = Literal["float64", "int64", "string"]

VARIABLE = -1
"""Length of a feature whose number of values differs from row to row."""

SCALAR = -2
"""Length of a feature that is one value, not a list."""

POSITION = ("topic_epoch", "partition", "offset")


@dataclass(frozen=True)
class Feature:
    """One stored feature.

    Args:
        name: unique within its view.
        dtype: type of a value.
        length: SCALAR, a fixed number of values, or VARIABLE.
        description: meaning and unit of the values, in their order.
        default: the value in a row that was never written.
        half_life: half-life of the values; empty: no decay.
        updated_by: the module that writes it.
        names: names of the values, or of equal groups of values, in order, where more may be appended later.
    """

    name: str
    dtype: Dtype
    length: int
    description: str
    default: float | str | tuple[float, ...] = 0.0
    half_life: str = ""
    updated_by: str = ""
    names: tuple[str, ...] | None = None

    def stored_form(self) -> dict[str, Any]:
        """All fields but the descriptive ones."""
        return {name: value for name, value in asdict(self).items() if name not in ("description", "updated_by")}


Features = tuple[Feature, ...]
