"""Times as options of commands, in ISO 8601."""

from datetime import UTC, datetime

from services.errors import ConfigurationError


def parse_time_s(name: str, text: str) -> float:
    """A time in ISO 8601, UTC without a time zone, as seconds since 1970; `beginning` is 0.

    Raises ConfigurationError, naming the option, for any other text.
    """
    if text == "beginning":
        return 0.0
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{name}: {text!r} is neither `beginning` nor a time like 2026-11-25T17:00:00"
        ) from error
    return utc_seconds(time)


def utc_seconds(time: datetime) -> float:
    """A time, UTC without a time zone, as seconds since 1970."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
