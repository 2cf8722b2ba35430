"""Writing answers to the served log: sampled, bounded, without blocking requests."""

import pytest

from services.ranking.outcome import RankOutcome
from services.ranking.served_log.log import ServedLog
from tests.contract.rank_server import NOW_S, SCHEMA, request
from tests.unit.ranking.served_log.answers import MemorySink, answer, ranker_with


def log_over(sink: MemorySink, share: float = 1.0, waiting: int = 64) -> ServedLog:
    return ServedLog(sink, SCHEMA.fingerprint, share, waiting, 32, clock=lambda: NOW_S + 1)


def test_every_answer_is_written_under_its_user() -> None:
    """Also queued answers when the log stops; then the sink is closed."""
    sink = MemorySink()
    log = log_over(sink)
    ranker = ranker_with(log)
    tokens = [answer(ranker, request(user_id=user)).attribution_token for user in ("ann", "bob", "ann")]
    log.start()
    log.stop()
    assert [b"ann", b"bob", b"ann"] == [record.key for record in sink.kept]
    assert tokens == [record.answer.attribution_token for record in sink.records()]
    assert (3, 0, 0) == (log.written, log.dropped, log.failed)
    assert sink.closed


def test_answers_beyond_the_queue_are_dropped_and_counted() -> None:
    """The client's answer is not affected."""
    log = log_over(MemorySink(), waiting=2)
    ranker = ranker_with(log)
    assert [3] * 5 == [len(answer(ranker, request()).items) for _ in range(5)]
    assert 3 == log.dropped
    log.start()
    log.stop()
    assert (2, 3) == (log.written, log.dropped)


def test_records_that_the_sink_rejects_are_dropped() -> None:
    """The log continues when the sink accepts records again."""
    sink = MemorySink(unavailable=True)
    log = log_over(sink)
    ranker = ranker_with(log)
    log.start()
    answer(ranker, request())
    while not log.dropped:
        pass
    sink.unavailable = False
    answer(ranker, request())
    log.stop()
    assert (1, 1) == (log.written, log.dropped)


@pytest.mark.parametrize(("share", "least", "most"), [(0.25, 180, 320), (1.0, 1000, 1000)])
def test_a_share_of_the_answers_is_sampled(share: float, least: int, most: int) -> None:
    """At random: of 1,000 with a share of a quarter, 180 to 320 is 5 standard deviations."""
    log = log_over(MemorySink(), share=share, waiting=1)
    kept = RankOutcome(None, None, None, None, trace=object())  # type: ignore[arg-type]
    for _ in range(1000):
        log.on_ranked(kept)
    assert least <= log.dropped + 1 <= most


def test_an_answer_without_a_valid_record_does_not_end_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, and logged once."""
    sink = MemorySink()
    log = log_over(sink)
    for _ in range(2):
        log.on_ranked(RankOutcome(None, None, None, None, trace=object()))  # type: ignore[arg-type]
    answer(ranker_with(log), request())
    log.start()
    log.stop()
    assert (1, 2) == (log.written, log.failed)
    assert ["served_record_failed"] == [line.message for line in caplog.records]
