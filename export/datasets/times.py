"""Times as files have them, to milliseconds since 1970: ISO 8601, numbers in some unit, formats of one's own.

Knows units, zones and formats; knows nothing of files. A number's unit is found from its size, and is one for a file.
"""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.tables import TIME
from services.features.times import unit_hint
from services.settings.source import SourceSettings

ORDER_ORIGIN_MS = 946_684_800_000
"""2000-01-01T00:00:00Z: where times begin that only order the rows."""

_PER_MS = {"seconds": 1e-3, "milliseconds": 1.0, "microseconds": 1e3, "nanoseconds": 1e6}
_FIRST_MS, _LAST_MS = 1e11, 1e13
"""1973 and 2286: within them a number is a time in one unit only."""

_FIRST_DAY_MS, _LAST_DAY_MS = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 and 9999, which Python's calendar holds."""

_MAX_CHARACTERS = 40


class TimeParser:
    """Parses the times of one file; `unit` is that of its numbers, None until one is read."""

    def __init__(self, settings: SourceSettings | None = None) -> None:
        """Parse by the settings; without any, zones are required and units found."""
        chosen = settings or SourceSettings()
        self.unit: str | None = None if chosen.time_unit == "auto" else chosen.time_unit
        self._given = self.unit
        self._zone = chosen.time_zone
        self._format = chosen.time_format

    def parse(self, value: object, *, from_text: bool = False) -> int:
        """Milliseconds since 1970 of a datetime, a text or a number; ValueError or TypeError with the reason.

        Numbers in text are times only if `from_text`.
        """
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return self._aware(value, value.isoformat(sep=" "))
        if isinstance(value, str):
            number = _as_number(value) if from_text and not self._format else None
            return self._parse_text(value) if number is None else self._parse_number(number)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{abbreviate(value)} is neither an RFC 3339 time nor a Unix time")
        return self._parse_number(value)

    def parse_array(self, array: pa.Array, *, from_text: bool = False) -> pa.Array | None:
        """The times of a whole column, or None if each has to be looked at: then one may be wrong."""
        try:
            times = self._parse_array(array, from_text)
        except (pa.ArrowException, ValueError):
            return None
        if times is None or times.null_count > array.null_count:
            return None
        ms = times.cast(pa.int64())
        outside = pc.or_(pc.less(ms, _FIRST_DAY_MS), pc.greater(ms, _LAST_DAY_MS))
        return None if pc.any(outside).as_py() else times

    def _parse_array(self, array: pa.Array, from_text: bool) -> pa.Array | None:
        kind = array.type
        if pa.types.is_timestamp(kind):
            return self._with_zone(array) if kind.tz is None else array.cast(TIME, safe=False)
        if pa.types.is_integer(kind):
            return self._numbers(array.cast(pa.int64()))
        if not pa.types.is_string(kind):
            return None
        if self._format:
            return self._with_zone(pc.strptime(array, format=self._format, unit="ms", error_is_null=True))
        return self._parse_texts(array, from_text)

    def _parse_texts(self, array: pa.Array, from_text: bool) -> pa.Array | None:
        """Texts that are all numbers, or all ISO 8601, with zones or without."""
        if from_text:
            try:
                return self._numbers(array.cast(pa.int64()))
            except pa.ArrowInvalid:
                pass
        try:
            return array.cast(pa.timestamp("us", "UTC")).cast(TIME, safe=False)
        except pa.ArrowInvalid:
            return self._with_zone(array.cast(pa.timestamp("us")))

    def _with_zone(self, array: pa.Array) -> pa.Array | None:
        if not self._zone:
            return None
        local = pc.assume_timezone(array, self._zone, ambiguous="earliest", nonexistent="latest")
        return local.cast(TIME, safe=False)

    def _numbers(self, numbers: pa.Array) -> pa.Array | None:
        """Whole numbers as times, or None if they are not all in one unit."""
        values = np.asarray(pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False))
        known = np.asarray(numbers.is_valid().to_numpy(zero_copy_only=False))
        if not known.any():
            return numbers.cast(TIME)
        if self.unit == "order":
            times = ORDER_ORIGIN_MS + values * 1000
        else:
            units = {self._unit_of(float(bound)) for bound in (values[known].min(), values[known].max())}
            if len(units) > 1 or self.unit not in {None, *units}:
                return None
            self.unit = units.pop()
            times = values * 1000 if self.unit == "seconds" else values // round(_PER_MS[self.unit])
        return pa.array(times, pa.int64(), mask=~known).cast(TIME)

    def _parse_number(self, number: int | float) -> int:
        if self.unit == "order":
            return ORDER_ORIGIN_MS + round(number * 1000)
        found = self._unit_of(number)
        if self.unit not in {None, found}:
            before = "" if self._given else "; the times before it are in " + str(self.unit)
            raise ValueError(f"{abbreviate(number)} is outside 1973 to 2286 in {self.unit}{unit_hint(number)}{before}")
        self.unit = found
        return (
            int(number) // round(_PER_MS[found])
            if isinstance(number, int) and _PER_MS[found] >= 1
            else round(number / _PER_MS[found])
        )

    def _unit_of(self, number: float) -> str:
        """The unit in which the number is a time between 1973 and 2286. ValueError if there is none."""
        found = next((unit for unit, per_ms in _PER_MS.items() if _FIRST_MS <= number / per_ms < _LAST_MS), None)
        if found is None:
            raise ValueError(
                f"{abbreviate(number)} is outside 1973 to 2286 in seconds, milliseconds, microseconds and nanoseconds "
                'since 1970; if the numbers only order the rows, set source.time_unit = "order"'
            )
        return found

    def _parse_text(self, value: str) -> int:
        try:
            parsed = datetime.strptime(value, self._format) if self._format else datetime.fromisoformat(value)
        except ValueError:
            expected = f"of the form {self._format}" if self._format else "an RFC 3339 time nor a Unix time"
            raise ValueError(f"{abbreviate(value)} is {'not' if self._format else 'neither'} {expected}") from None
        return self._aware(parsed, value)

    def _aware(self, moment: datetime, shown: str) -> int:
        if moment.tzinfo is None:
            if not self._zone:
                raise ValueError(
                    f"{abbreviate(shown)} has no time zone; add Z or an offset such as +01:00, or name the zone of "
                    "all: --time-zone UTC"
                )
            moment = moment.replace(tzinfo=ZoneInfo(self._zone))
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _as_number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return None
        return number if np.isfinite(number) else None


def abbreviate(value: object) -> str:
    """The value as Python writes it, at most 40 characters."""
    words = repr(value)
    return words if len(words) <= _MAX_CHARACTERS else words[: _MAX_CHARACTERS - 3] + "..."
