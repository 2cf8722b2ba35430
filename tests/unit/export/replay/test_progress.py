"""Progress of a replay: a line about every ten seconds where there is no terminal."""

from io import StringIO

from rich.console import Console

from export.replay.progress import describe_progress, replay_progress


def test_lines_say_events_rate_and_time_left() -> None:
    """At most one line in ten seconds."""
    out, now = StringIO(), 0.0
    with replay_progress(Console(file=out), lambda: now) as report:
        for now in (1.0, 9.0, 10.0, 12.0, 19.0, 20.0):
            report(now * 100, 4000)
    assert [
        "replayed 1,000 of 4,000 events, 100 a second, 30 s left",
        "replayed 2,000 of 4,000 events, 100 a second, 20 s left",
    ] == out.getvalue().splitlines()


def test_nothing_done_has_no_rate() -> None:
    """And no time left."""
    assert "replayed 0 of 5 events, 0 a second" == describe_progress(0, 5, 10.0)


def test_a_terminal_shows_a_bar() -> None:
    """With the number of events."""
    out = StringIO()
    with replay_progress(Console(file=out, force_terminal=True, width=100)) as report:
        report(1000, 4000)
    assert "1000/4000" in out.getvalue()
