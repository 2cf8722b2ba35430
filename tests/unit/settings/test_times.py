"""Times as text."""

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
def test_times_are_utc_unless_they_have_an_offset(text: str, expected: float) -> None:
    """A date means the beginning of its day."""
    assert expected == parse_time_s("to", text)


def test_an_invalid_time_is_rejected_by_name() -> None:
    """The error gives examples of valid times."""
    with pytest.raises(ConfigurationError, match="to: 'yesterday' is neither `beginning` nor a time like"):
        parse_time_s("to", "yesterday")
