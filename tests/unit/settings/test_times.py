"""Times as people give them."""

import pytest

from services.errors import ConfigurationError
from services.settings.times import parse_time_s


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beginning", 0.0),
        ("2026-11-25T17:00:00", 1_795_626_000.0),
        ("2026-11-25T18:00:00+01:00", 1_795_626_000.0),
        ("2026-11-25", 1_795_564_800.0),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, expected: float) -> None:
    """A day is its first moment."""
    assert expected == parse_time_s("to", text)


def test_what_is_no_time_is_refused_by_name() -> None:
    """With what would be one."""
    with pytest.raises(ConfigurationError, match="to: 'yesterday' is neither `beginning` nor a time like"):
        parse_time_s("to", "yesterday")
