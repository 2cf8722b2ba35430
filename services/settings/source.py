"""Settings of own files: which there are, how their columns are called, and how times are written."""

from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from services.features.event_types import EngagementType
from services.settings.section import SettingsSection

TimeUnit = Literal["auto", "seconds", "milliseconds", "microseconds", "nanoseconds", "order"]
TIME_UNITS: tuple[str, ...] = get_args(TimeUnit)


def _flatten(value: Any) -> Any:
    """A table in a table as dotted names: TOML reads `attributes.year = "y"` as one."""
    if not isinstance(value, dict):
        return value
    flat: dict[str, Any] = {}
    for name, given in value.items():
        inner = _flatten(given)
        flat |= (
            {f"{name}.{part}": column for part, column in inner.items()} if isinstance(inner, dict) else {name: inner}
        )
    return flat


def _as_names(value: Any) -> Any:
    flat = _flatten(value)
    return {k: (v,) if isinstance(v, str) else v for k, v in flat.items()} if isinstance(flat, dict) else flat


def _known_zone(value: str) -> str:
    if value:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone; expected a name like UTC or Europe/Berlin") from None
    return value


ColumnNames = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_as_names)]
"""Column of a table to column of a file; several columns of a file are joined to one id."""


class SourceFile(SettingsSection):
    """One file, and what it says of events, items, users and scenarios. A file may describe several."""

    path: str = Field(description="The file; relative to the settings file.")
    events: ColumnNames = Field({}, description="Columns of events = columns of the file.")
    items: ColumnNames = Field({}, description="Columns of items = columns of the file.")
    users: ColumnNames = Field({}, description="Columns of users = columns of the file.")
    scenarios: ColumnNames = Field({}, description="Columns of scenarios = columns of the file.")
    values: dict[str, str] = Field({}, description="Columns that are the same for every row, like type or split.")


class SourceSettings(SettingsSection):
    """Own files: which there are, and how to read them."""

    files: tuple[SourceFile, ...] = Field(
        (),
        description="The files that `crossrec import` reads, each with its columns; `crossrec data start` writes them.",
    )
    columns: ColumnNames = Field(
        {}, description="Columns of the tables = columns of the files, for all files; the same as --map."
    )
    values: dict[str, str] = Field(
        {}, description="Columns that are the same for every event, like type or scenario_id; the same as --set."
    )
    types: dict[str, str] = Field(
        {}, description="Words of the files for event types = event types; rows of the empty type are left out."
    )
    scenario_of_user: str = Field(
        "", description="Column of a file that describes users, like age: users are grouped by it into scenarios."
    )
    scenario_bounds: tuple[float, ...] = Field(
        (), description="Bounds that cut a scenario column of numbers into groups: 25 and 35 make three of them."
    )
    positive_event: EngagementType | None = Field(
        None, description="Type of the event that follows, a millisecond later, each row of the files with label 1."
    )
    time_unit: TimeUnit = Field(
        "auto",
        description="Unit of times that are numbers, since 1970; auto: found from their size. order: the numbers, or "
        "without any the order of the rows, count as seconds since 2000.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        "", description="Zone of times without one, like UTC; empty: they are refused."
    )
    time_format: str = Field("", description="strptime format of times that are not ISO 8601, like %d/%m/%Y %H:%M.")
    encoding: str = Field("utf-8", description="Encoding of CSV files.")
    list_separator: str = Field("|", min_length=1, description="Between the names of a list in a cell of a CSV file.")
