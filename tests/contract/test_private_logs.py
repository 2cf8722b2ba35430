"""What users are called and what they write is in no log line, whatever goes wrong."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import pytest

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, UserErasure
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.consumers.activity import ActivityFolder
from services.consumers.behavior import ENTRIES, BehaviorFolder
from services.consumers.decoding import Decoder
from services.consumers.log import LogUnavailable, MemoryLog, Record
from services.consumers.loop import Folder, Loop
from services.events.codec import CONTENT_TYPE, JSON
from services.features.rows import Row
from services.features.schema import View
from services.gateway.publisher import MemoryPublisher
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key, StaleSchema, StoreUnavailable
from tests.contract import event_gateway, rank_server
from tests.contract.private import TEXT, USER, assert_private, logs
from tests.contract.rank_server import SwitchedStore
from tests.unit.consumers.streams import CONFIG, ENCODER, SCHEMA, START_S, behavior_event, erasure, records

SECRET = f"{USER}: {TEXT}"


class FailingStore(MemoryRowStore):
    """A store whose coming reads raise what it was told to."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        if self.failures:
            raise self.failures.pop(0)
        return super().read(view, keys)


class Stop(threading.Event):
    """Nobody really waits."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def consume(log: MemoryLog, folder: Folder) -> None:
    """Run the loop until everything is committed."""
    loop = Loop(log, folder, "crossrec.dead-letter", Stop())
    for _ in range(20):
        loop.step()
    assert len(log.records) == log.committed


def query(number: int, **changes: object) -> Entry:
    fields: dict[str, object] = {"user_id": USER, "type": "EVENT_TYPE_QUERY", "item_id": "", "text": TEXT}
    return behavior_event(number, **(fields | changes))


def raw(offset: int, value: bytes, content_type: str = "") -> Record:
    headers: list[tuple[str, bytes | None]] = [(CONTENT_TYPE, content_type.encode())] if content_type else []
    return Record("crossrec.behavior", 0, offset, USER.encode(), value, headers)


BAD = [
    raw(0, SECRET.encode()),
    raw(1, SECRET.encode(), JSON),
    raw(2, f'{{"behaviorEvent": {{"{TEXT}": "{USER}"}}}}'.encode(), JSON),
    raw(3, f'{{"behaviorEvent": {{"userId": "{USER}", "type": "{TEXT}"}}}}'.encode(), JSON),
    raw(4, f'{{"{USER}": 1}}'.encode(), JSON),
    raw(5, b"{}", SECRET),
    raw(6, b"\xff" + SECRET.encode(), JSON),
]
"""Records that quote a user in every place at which a parser may stumble."""


def test_consumers_log_nobody() -> None:
    """Events, erasures, records that cannot be read or are refused, and outages of store and log."""
    refused = [
        query(1, event_id=USER * 20),
        query(2, user_id=USER * 20),
        query(3, text=TEXT * 500),
        query(4, item_id=USER),
    ]
    entries = [query(0), *refused, erasure(USER, START_S + 9), query(20)]
    log = MemoryLog([*BAD, *records(entries, offset=len(BAD))], batch=5)
    log.commit_failures = [LogUnavailable("away")]
    store = FailingStore(
        StoreUnavailable("online store: away"), FencedWrite("1 rows of view user hold newer positions")
    )
    decoder = Decoder(ENTRIES, CONFIG, lambda: START_S + 100, 300.0)
    with logs() as stream:
        consume(log, BehaviorFolder(store, SCHEMA, ENCODER, decoder, "crossrec.activity", lambda: 1, 1))
        deltas = [Record("crossrec.activity", 0, n, USER.encode(), record.value) for n, record in enumerate(BAD)]
        consume(MemoryLog(deltas), ActivityFolder(MemoryRowStore(), SCHEMA, 1))
    assert_private(stream, "dead_letters", "recovered")


@dataclass
class Broken(MemoryPublisher):
    """Fails unexpectedly, with what it was given in its words."""

    def send(self, records: Sequence[object], timeout_s: float) -> list[object]:  # type: ignore[override]
        del timeout_s
        raise RuntimeError(f"cannot send {records} for {SECRET}")


def test_the_gateway_logs_nobody() -> None:
    """Accepted and rejected entries, a Kafka that does not confirm, and an error that nobody expected."""
    good = BehaviorEvent(user_id=USER, scenario_id="s", type="EVENT_TYPE_QUERY", text=TEXT)
    entries = [
        Entry(behavior_event=good),
        Entry(behavior_event=BehaviorEvent(user_id=USER * 20, text=TEXT)),
        Entry(user_erasure=UserErasure(user_id=USER)),
    ]
    with logs() as stream:
        for publisher in (MemoryPublisher(), MemoryPublisher({0: TimeoutError(SECRET)}), Broken()):
            with event_gateway.running(publisher) as gateway:
                try:
                    gateway.publish(*entries)
                except grpc.RpcError:
                    assert type(publisher) is not MemoryPublisher or publisher.failures
    assert_private(stream, "request_failed")


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        (RuntimeError(SECRET), "request_failed"),
        (KeyError(USER), "request_failed"),
        (StaleSchema("rows of view user were written under feature schema 1"), "request_unavailable"),
    ],
)
def test_the_ranking_server_logs_nobody(failure: Exception, event: str) -> None:
    """Answers, refusals, outages, and errors that nobody expected."""
    store: SwitchedStore = rank_server.filled_store()
    with logs() as stream, rank_server.running(store) as server:
        server.rank(rank_server.request(user_id=USER))
        server.refused(rank_server.request(user_id=USER * 20))
        server.refused(RankRequest(user_id=USER, scenario_id=TEXT, item_ids=[TEXT] * 2))
        store.failure = StoreUnavailable("online store: away")
        server.rank(rank_server.request(user_id=USER))
        store.failure = failure
        assert USER not in (server.refused(rank_server.request(user_id=USER)).details() or "")
    assert_private(stream, event)
