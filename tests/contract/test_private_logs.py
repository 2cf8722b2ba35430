"""User ids, users' texts, tokens and passwords are in no log line, span or metric, whatever fails."""

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry, generate_latest

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, PublishRequest, UserErasure
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.consumers.activity import ActivityHandler
from services.consumers.batch_traces import BatchTraces
from services.consumers.behavior import ENTRIES, BehaviorHandler
from services.consumers.decoding import Decoder, TimeLimits
from services.consumers.loop import BatchHandler, ConsumerLoop
from services.consumers.observer import ConsumerObserver
from services.events.codec import CONTENT_TYPE, JSON
from services.features.rows import Block
from services.gateway.traced_publisher import TracedPublisher
from services.kafka.connection import KafkaUnavailable
from services.kafka.publisher import MemoryPublisher
from services.kafka.record_source import MemoryRecordSource, Record
from services.ranking.metrics import RankingMetrics
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.memory import MemoryRowStore
from services.store.metered_rows import MeteredRowStore
from services.store.protocol import FencedWrite, ReadRequest, StaleSchema, StoreUnavailable, read_rows
from tests.contract import event_gateway, rank_server
from tests.contract.private import PASSWORD, SECRET_METADATA, TEXT, USER, assert_private, logs
from tests.contract.rank_server import SwitchedStore
from tests.unit.consumers.streams import CONFIG, ENCODER, SCHEMA, START_S, behavior_event, erasure, records
from tests.unit.server.telemetry.recorded import TRACEPARENT, RecordedTracing
from tests.waiting import wait_until

SECRET = f"{USER}: {TEXT}"


class FailingStore(MemoryRowStore):
    """A store whose next reads raise the given errors."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        if self.failures:
            raise self.failures.pop(0)
        return super().read_blocks(requests)


class Stop(threading.Event):
    """An event that does not wait."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


class StoppingSource(MemoryRecordSource):
    """A record source that stops its consumer while it waits for the store."""

    def __init__(self, records: Sequence[Record], stop: threading.Event) -> None:
        super().__init__(records)
        self._stop = stop

    def keep_alive(self, wait_s: float) -> bool:
        self._stop.set()
        return super().keep_alive(wait_s)


def consume(log: MemoryRecordSource, handler: BatchHandler, observer: ConsumerObserver | None = None) -> None:
    """Run the loop until everything is committed."""
    loop = ConsumerLoop(log, handler, "crossrec.dead-letter", Stop(), observer=observer)
    for _ in range(20):
        loop.step()
    assert len(log.records) == log.committed


def shown(recorded: RecordedTracing, *observers: ConsumerObserver) -> list[str]:
    """All spans, at least one, and all metrics."""
    spans = recorded.spans()
    assert spans
    return [
        *(span.to_json() for span in spans),
        *(generate_latest(observer.registry).decode() for observer in observers),
    ]


def query(number: int, **changes: object) -> Entry:
    fields: dict[str, object] = {"user_id": USER, "type": "EVENT_TYPE_QUERY", "item_id": "", "text": TEXT}
    return behavior_event(number, **(fields | changes))


def raw(offset: int, value: bytes, content_type: str = "") -> Record:
    headers: list[tuple[str, bytes | None]] = [("traceparent", TRACEPARENT.encode()), ("traceparent", USER.encode())]
    headers += [(CONTENT_TYPE, content_type.encode())] if content_type else []
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
"""Records that quote a user in every place where a parser may fail."""


def test_consumers_log_no_user_data() -> None:
    """Events, erasures, unreadable and rejected records, and outages of the store and Kafka."""
    refused = [
        query(1, event_id=USER * 20),
        query(2, user_id=USER * 20),
        query(3, text=TEXT * 500),
        query(4, item_id=USER),
    ]
    entries = [query(0), *refused, erasure(USER, START_S + 9), query(20)]
    log = MemoryRecordSource([*BAD, *records(entries, offset=len(BAD))], batch=5)
    log.commit_failures = [KafkaUnavailable("away")]
    store = FailingStore(
        StoreUnavailable("online store: away"), FencedWrite("1 rows of view user hold newer positions")
    )
    decoder, recorded = Decoder(ENTRIES, CONFIG, TimeLimits(lambda: START_S + 100, 300.0)), RecordedTracing()
    observer = ConsumerObserver(
        "behavior", traces=BatchTraces(recorded.tracing, "crossrec.behavior", "crossrec-behavior")
    )
    with logs() as stream:
        rows = MeteredRowStore(store, observer.on_store_call)
        consume(log, BehaviorHandler(rows, SCHEMA, ENCODER, decoder, "crossrec.activity", lambda: 1, 1), observer)
        deltas = [Record("crossrec.activity", 0, n, USER.encode(), record.value) for n, record in enumerate(BAD)]
        consume(MemoryRecordSource(deltas), ActivityHandler(MemoryRowStore(), SCHEMA, 1, TimeLimits()))
    assert_private(stream, "dead_letters", "recovered", shown=shown(recorded, observer))


@dataclass
class Broken(MemoryPublisher):
    """Fails unexpectedly; the error's text quotes the records."""

    def send(self, records: Sequence[object], timeout_s: float) -> list[object]:  # type: ignore[override]
        del timeout_s
        raise RuntimeError(f"cannot send {records} for {SECRET}")


def test_the_gateway_logs_no_user_data() -> None:
    """Accepted and rejected entries, a Kafka that does not confirm, and an unexpected error."""
    good = BehaviorEvent(user_id=USER, scenario_id="s", type="EVENT_TYPE_QUERY", text=TEXT)
    entries = [
        Entry(behavior_event=good),
        Entry(behavior_event=BehaviorEvent(user_id=USER * 20, text=TEXT)),
        Entry(user_erasure=UserErasure(user_id=USER)),
    ]
    recorded = RecordedTracing()
    with logs() as stream:
        for publisher in (MemoryPublisher(), MemoryPublisher({0: TimeoutError(SECRET)}), Broken()):
            traced = TracedPublisher(publisher, recorded.tracing)
            with event_gateway.running(traced, tracing=recorded.tracing) as gateway:
                try:
                    request = PublishRequest(entries=entries)
                    gateway.stub.Publish(request, timeout=300, wait_for_ready=True, metadata=SECRET_METADATA)
                except grpc.RpcError:
                    assert type(publisher) is not MemoryPublisher or publisher.failures
    assert_private(stream, "request_failed", shown=shown(recorded))


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        (RuntimeError(SECRET), "request_failed"),
        (KeyError(USER), "request_failed"),
        (StaleSchema("rows of view user were written under feature schema 1"), "request_unavailable"),
    ],
)
def test_the_ranking_server_logs_no_user_data(failure: Exception, event: str) -> None:
    """Answers, rejections, outages and unexpected errors."""
    store, recorded, registry = rank_server.filled_store(), RecordedTracing(), CollectorRegistry()
    metrics = RankingMetrics(registry)
    with logs() as stream, rank_server.running(store, tracing=recorded.tracing, metrics=metrics) as server:
        server.stub.Rank(rank_server.request(user_id=USER), timeout=300, wait_for_ready=True, metadata=SECRET_METADATA)
        server.rank(rank_server.request(user_id=USER))
        server.refused(rank_server.request(user_id=USER * 20))
        server.refused(RankRequest(user_id=USER, scenario_id=TEXT, item_ids=[TEXT] * 2))
        store.failure = StoreUnavailable("online store: away")
        server.rank(rank_server.request(user_id=USER))
        store.failure = failure
        assert USER not in (server.refused(rank_server.request(user_id=USER)).details() or "")
    assert_private(stream, event, shown=[*shown(recorded), generate_latest(registry).decode()])


class SlowStore(SwitchedStore):
    """Reads of users wait until the caller has cancelled, and then fail."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.left = threading.Event(), threading.Event()

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        view, keys = requests[0]
        if view.name == "user" and keys == [(USER,)]:
            self.reading.set()
            assert self.left.wait(300)
            raise RuntimeError(SECRET)
        return super().read_blocks(requests)


def test_an_error_after_the_caller_cancelled_is_logged_without_user_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """No caller gets the answer, and gRPC itself would log the error's text."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")  # milliseconds after which ended spans are exported
    store, recorded = SlowStore(), RecordedTracing()
    rank_server.History(store).scenarios("tv")
    with logs() as stream:
        with rank_server.running(store, tracing=recorded.tracing) as server:
            call = server.stub.Rank.future(rank_server.request(user_id=USER), timeout=300, wait_for_ready=True)
            assert store.reading.wait(300)
            call.cancel()
            store.left.set()
        # A server that stops does not wait for calls that were cancelled.
        wait_until(lambda: SpanKind.SERVER in {span.kind for span in recorded.exporter.get_finished_spans()})
        spans = shown(recorded)
    assert_private(stream, "request_failed", shown=spans)


def test_the_store_password_is_in_no_log_or_error(tmp_path: Path) -> None:
    """Neither in the log of an outage nor in the error, the metrics or the readiness reasons."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"127.0.0.1:{port},password={PASSWORD}"
    settings = Settings(store=StoreSettings(url=url, registry=tmp_path / "registry.db", offline_dir=tmp_path))
    decoder, observer, stop = (
        Decoder(ENTRIES, CONFIG, TimeLimits(lambda: START_S + 100, 300.0)),
        ConsumerObserver("behavior"),
        Stop(),
    )
    log = StoppingSource(records([query(0)]), stop)
    with logs() as stream:
        store = MeteredRowStore(open_rows_for_batches(settings), observer.on_store_call)
        handler = BehaviorHandler(store, SCHEMA, ENCODER, decoder, "crossrec.activity", lambda: 1, 1)
        ConsumerLoop(log, handler, "crossrec.dead-letter", stop, observer=observer).run()
        with pytest.raises(StoreUnavailable) as caught:
            read_rows(store, SCHEMA["user"], [(USER,)])
    texts = [str(caught.value), generate_latest(observer.registry).decode(), str(observer.health.ready())]
    assert_private(stream, "store_unavailable", shown=texts)
