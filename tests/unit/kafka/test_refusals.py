"""What Kafka refuses for good."""

from collections.abc import Collection

import pytest

from services.errors import StorageRefused
from services.kafka.connection import KafkaUnavailable
from services.kafka.refusals import DEFAULT_BYTES, REFRESH_S, RecordLimits, find_refusal


class Clock:
    """A clock that tests set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Settings:
    """The topics' settings."""

    def __init__(self, **most: int) -> None:
        self.most, self.reads, self.failure = most, 0, None

    def __call__(self, topics: Collection[str]) -> dict[str, int]:
        self.reads += 1
        if self.failure:
            raise self.failure
        return {topic: self.most[topic] for topic in topics if topic in self.most}


def test_limits_are_those_of_the_topics(caplog: pytest.LogCaptureFixture) -> None:
    """Until they are read, and of topics without a setting, Kafka's default; none is above what the client sends."""
    settings, clock = Settings(a=100, big=10**9), Clock()
    limits = RecordLimits(settings, clock)
    assert [DEFAULT_BYTES] * 3 == [limits.most(topic) for topic in ("a", "b", "big")]
    limits.refresh()
    assert [100, DEFAULT_BYTES, DEFAULT_BYTES] == [limits.most(topic) for topic in ("a", "b", "big")]
    clock.now_s += REFRESH_S
    limits.refresh()
    assert ["record_limits_unknown"] == caplog.messages, "of b, once"


def test_limits_are_read_when_topics_are_new_or_it_is_time() -> None:
    """A setting that was changed takes effect without a restart."""
    settings, clock = Settings(a=100, b=100), Clock()
    limits = RecordLimits(settings, clock)
    limits.refresh()
    assert 0 == settings.reads
    for topic, reads in (("a", 1), ("a", 1), ("b", 2)):
        limits.most(topic)
        limits.refresh()
        assert reads == settings.reads
    settings.most["a"] = 200
    clock.now_s += REFRESH_S
    limits.refresh()
    assert 200 == limits.most("a")


def test_what_was_refused_counts_where_the_setting_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """For lack of a right, say: the size that a broker refused is too large from then on."""
    settings = Settings()
    settings.failure = KafkaUnavailable("ClusterAuthorizationFailedError")
    limits = RecordLimits(settings, Clock())
    limits.most("a")
    limits.refresh()
    assert 499 == limits.learn("a", 500)
    assert (499, 499) == (limits.most("a"), limits.learn("a", 600))
    assert ["record_limits_unknown"] == caplog.messages


@pytest.mark.parametrize(
    "name",
    [
        "TopicAuthorizationFailedError",
        "ClusterAuthorizationFailedError",
        "InvalidTopicError",
        "PolicyViolationError",
        "UnsupportedCompressionTypeError",
        "UnsupportedForMessageFormatError",
        "UnsupportedVersionError",
        "InvalidRecordError",
        "InvalidTimestampError",
    ],
)
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
def test_permanent_errors_of_the_client_are_refusals(name: str) -> None:
    """They are named as kafka-python names them, are not passing there, and the text has topic, error and remedy."""
    import kafka.errors

    error = getattr(kafka.errors, name)("x")
    assert error.retriable is False
    found = find_refusal(error, "crossrec.items")
    assert isinstance(found, StorageRefused)
    assert f"in topic crossrec.items ({name}): " in str(found)


def test_passing_errors_are_no_refusals() -> None:
    assert find_refusal(TimeoutError("late"), "t") is None
