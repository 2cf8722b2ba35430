"""A store that loses rows under running consumers: they refuse, say what to do, and the guide's way back is exact.

Traffic goes on before the loss, until it is noticed, and after that.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.rewind import rewind
from services.store.protocol import RowStore
from tests.integration.consumer_harness import SCHEMA, UPDATES, USER_VIEWS, Stage, folded, running
from tests.integration.test_watched_outages import lines, ready
from tests.unit.consumers.streams import ACTIVITY, assert_rows, behavior, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

ADVICE = "stop the consumers, `crossrec consumers rewind --kind behavior --to beginning`, start them"


class Rows:
    """The keys of a test's project in the store."""

    def __init__(self, stage: Stage) -> None:
        self._client = redis.Redis.from_url(f"redis://{stage.settings.store.url}")
        self._pattern = f"*{stage.settings.store.project}"

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def copies(self) -> dict[bytes, bytes]:
        found: dict[bytes, Any] = {}
        for key in self._client.scan_iter(self._pattern, count=1000):
            found[key] = self._client.dump(key)
        return found

    def drop(self, holding: bytes = b"") -> None:
        """Remove the keys that contain this."""
        for key in self._client.scan_iter(self._pattern, count=1000):
            if holding in key:
                self._client.delete(key)

    def restore(self, copies: dict[bytes, bytes]) -> None:
        self.drop()
        for key, copy in copies.items():
            self._client.restore(key, 0, copy)


@contextmanager
def watched(stage: Stage, kind: str, store: RowStore | None = None) -> Iterator[threading.Event]:
    """A consumer with health and metrics."""
    listening = stage.settings.consumers.model_copy(update={"metrics_listen": "127.0.0.1:0"})
    with running(
        replace(stage, settings=stage.settings.model_copy(update={"consumers": listening})), kind, store
    ) as stop:
        yield stop


def emptied(rows: Rows, old: dict[bytes, bytes]) -> None:
    del old
    rows.drop()


def restored(rows: Rows, old: dict[bytes, bytes]) -> None:
    rows.restore(old)


def without_topic_state(rows: Rows, old: dict[bytes, bytes]) -> None:
    del old
    rows.drop(b"behavior")


@pytest.mark.parametrize("loss", [emptied, restored, without_topic_state])
def test_lost_rows_are_noticed_and_rebuilt(
    loss: Callable[[Rows, dict[bytes, bytes]], None], stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The consumer is not ready and commits nothing more; after the rewind every row is that of a single fold."""
    caplog.set_level(logging.INFO)
    events = behavior(600, users=30)
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    with Rows(stage) as rows:
        with running(stage, "activity"), watched(stage, "behavior"):
            stage.send(events[:150])
            wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
            old = rows.copies()
            stage.send(events[150:300])
            wait_until(lambda: folded(stage, "behavior"))
            committed = stage.committed("behavior")
            loss(rows, old)
            stage.send(events[300:400])
            wait_until(lambda: any(ADVICE in reason for reason in ready(caplog)[1]))
            assert 503 == ready(caplog)[0]
            stage.send(events[400:500])
            assert committed == stage.committed("behavior")
        assert {"behavior"} <= {str(line["kind"]) for line in lines(caplog, "rows_lost")}
        _refuses_at_the_start(stage, caplog)
        assert committed == stage.committed("behavior")
        fold_catalogue(stage.store, UPDATES, SCHEMA)  # their topics are compacted: rewound as well, or never lost
        rewind(stage.settings, SCHEMA, stage.store, "behavior", 0.0)  # type: ignore[arg-type]
        with running(stage, "activity"), running(stage, "behavior"):
            stage.send(events[500:])
            wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, (*USER_VIEWS, *ACTIVITY), SCHEMA)


def _refuses_at_the_start(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A restart does not make it forget."""
    caplog.clear()
    with watched(stage, "behavior"):
        wait_until(lambda: any(ADVICE in reason for reason in ready(caplog)[1]))


def test_a_loss_without_traffic_is_noticed(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marks are checked from time to time; activity is rebuilt from behaviour."""
    monkeypatch.setattr("services.consumers.marked_source.CHECK_S", 0.5)
    caplog.set_level(logging.INFO)
    with Rows(stage) as rows, watched(stage, "behavior"):
        stage.send(behavior(50))
        wait_until(lambda: folded(stage, "behavior"))
        rows.drop()
        wait_until(lambda: any(ADVICE in reason for reason in ready(caplog)[1]))


def test_an_interrupted_rewind_is_noticed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Consumers refuse until it is repeated: some of the rows are dropped, and the offsets are not set back."""
    caplog.set_level(logging.INFO)
    events: list[Entry] = behavior(100)
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    stage.send(events)
    with running(stage, "activity"), running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))

    class Interrupted(Exception):
        pass

    class DropsHalf:
        """Forwards to the store; its second drop fails."""

        def __init__(self) -> None:
            self.drops = 0

        def __getattr__(self, name: str) -> object:
            return getattr(stage.store, name)

        def drop(self, view: object) -> int:
            self.drops += 1
            if self.drops > 1:
                raise Interrupted
            return stage.store.drop(view)  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(Interrupted):
        rewind(stage.settings, SCHEMA, DropsHalf(), "behavior", 0.0)  # type: ignore[arg-type]
    _refuses_at_the_start(stage, caplog)
    rewind(stage.settings, SCHEMA, stage.store, "behavior", 0.0)  # type: ignore[arg-type]
    with running(stage, "activity"), running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, (*USER_VIEWS, *ACTIVITY), SCHEMA)
