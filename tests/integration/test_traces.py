"""Traces over the real Kafka and Valkey: from a client's Publish to the row, and from Rank through its stages."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, PublishStreamRequest
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.consumers.main import consume
from services.gateway.traced_publisher import TracedPublisher
from services.kafka.kafka_publisher import KafkaPublisher
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker
from services.ranking.service import RankingService, build_server
from services.registry.model import FakeModel
from services.store.protocol import RowStore, read_rows
from services.text.protocol import HashingEncoder
from tests.contract.event_gateway import INTAKE_CONFIG, Gateway
from tests.contract.event_gateway import running as running_gateway
from tests.contract.private import TEXT, USER, logs
from tests.integration.consumer_harness import SCHEMA, TIMEOUT_S, Stage, folded, staged
from tests.unit.consumers.streams import START_S, behavior_event, item_update, scenario_update
from tests.unit.server.telemetry.recorded import PARENT_ID, TRACEPARENT, RecordedTracing, find_span, span_tree
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

CALLER = f"{PARENT_ID:016x}"
SAMPLED = (("traceparent", TRACEPARENT), ("authorization", "Bearer secret-41c7"))
CATALOGUE = [item_update(0, attributes={}), scenario_update(0)]


@dataclass
class Traced:
    """Gateway and consumers over the stage, and their recorded spans."""

    stage: Stage
    gateway: Gateway
    recorded: RecordedTracing
    stops: ExitStack
    _spans: list[ReadableSpan] = field(default_factory=list)

    def spans(self, *kinds: str) -> list[ReadableSpan]:
        """The spans recorded once these kinds of consumer have folded everything and all are stopped."""
        for kind in kinds:
            wait_until(lambda kind=kind: folded(self.stage, kind))
        self.stops.close()
        return self.recorded.spans()


@contextmanager
def consuming(stage: Stage, kind: str, recorded: RecordedTracing) -> Iterator[None]:
    stop = threading.Event()
    arguments = (kind, stage.settings, stage.store, stop, HashingEncoder)
    worker = threading.Thread(target=consume, args=arguments, kwargs={"tracing": recorded.tracing})
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(TIMEOUT_S)
    assert not worker.is_alive()


@pytest.fixture
def traced(infra: object, tmp_path: object) -> Iterator[Traced]:
    """Nothing is recorded unless the caller's context is sampled."""
    recorded = RecordedTracing(ratio=0.0)
    with ExitStack() as stops, staged(infra, tmp_path) as stage:  # type: ignore[arg-type]
        kafka = stage.settings.kafka
        publisher = KafkaPublisher(kafka.bootstrap_servers, 20.0)
        stops.callback(publisher.close, 10.0)
        rules = replace(INTAKE_CONFIG, topic_prefix=kafka.topic_prefix, features=SCHEMA.config, kafka_timeout_s=20.0)
        publishing = running_gateway(TracedPublisher(publisher, recorded.tracing), rules, tracing=recorded.tracing)
        gateway = stops.enter_context(publishing)
        for kind in ("behavior", "item", "scenario", "activity"):
            stops.enter_context(consuming(stage, kind, recorded))
        yield Traced(stage, gateway, recorded, stops)


def queries(*numbers: int) -> list[Entry]:
    return [behavior_event(number, user_id=USER, type="EVENT_TYPE_QUERY", item_id="", text=TEXT) for number in numbers]


def counted(stage: Stage) -> bool:
    """Whether the user's row counts any event."""
    (row,) = read_rows(stage.store, SCHEMA["user"], [(USER,)])
    return row is not None and bool(row["counts"].any())


def publish(traced: Traced, entries: Sequence[Entry], metadata: Sequence[tuple[str, str]] = ()) -> None:
    request = PublishRequest(entries=entries)
    results = traced.gateway.stub.Publish(request, timeout=300, wait_for_ready=True, metadata=metadata).results
    assert {"accepted"} == {result.WhichOneof("result") for result in results}


def test_a_trace_leads_from_publish_to_the_row(traced: Traced) -> None:
    """Through Kafka and the fold of the user's row, and on through the deltas to the rows of scenarios.

    No user id, text or request metadata is in any span, log line or metric.
    """
    with logs() as lines:
        publish(traced, [*queries(1), *CATALOGUE], SAMPLED)
        publish(traced, queries(2))
        wait_until(lambda: folded(traced.stage, "behavior") and counted(traced.stage))
        spans = traced.spans("behavior", "item", "scenario", "activity")
    prefix = traced.stage.settings.kafka.topic_prefix
    method, behavior, activity = (
        "crossrec.events.v1.EventService/Publish",
        f"process {prefix}.behavior",
        f"process {prefix}.activity",
    )
    send = f"send {prefix}.behavior"
    assert {
        (CALLER, method),
        (method, send),
        (method, f"send {prefix}.items"),
        (method, f"send {prefix}.scenarios"),
        (send, f"poll {prefix}.behavior"),
        (send, behavior),
        (behavior, "fold"),
        ("fold", "read user"),
        ("fold", "write user"),
        ("fold", "write user_scenario"),
        (behavior, "commit"),
        (f"send {prefix}.items", f"process {prefix}.items"),
        (behavior, activity),
        (activity, "fold"),
        ("fold", "write scenario_activity"),
    } <= span_tree(spans)
    assert {find_span(spans, method).context.trace_id} == {span.context.trace_id for span in spans}
    assert 1 == len([span for span in spans if span.name == behavior])
    shown = [*(span.to_json() for span in spans), lines.getvalue()]
    assert not [secret for secret in (USER, "insulin", "secret-41c7") if any(secret in text for text in shown)]


def test_a_stream_propagates_its_trace(traced: Traced) -> None:
    """The thread that reads the stream publishes under the same trace."""
    requests = [PublishStreamRequest(sequence=n, entries=queries(n)) for n in range(3)]
    stub = traced.gateway.stub
    answers = list(stub.PublishStream(iter(requests), timeout=300, wait_for_ready=True, metadata=SAMPLED))
    assert [0, 1, 2] == sorted(answer.sequence for answer in answers)
    spans = traced.spans("behavior")
    prefix, method = traced.stage.settings.kafka.topic_prefix, "crossrec.events.v1.EventService/PublishStream"
    send = f"send {prefix}.behavior"
    assert {(CALLER, method), (method, send), (send, f"process {prefix}.behavior")} <= span_tree(spans)
    assert [1, 1, 1] == [span.attributes["messaging.batch.message_count"] for span in spans if span.name == send]


@contextmanager
def ranking(store: RowStore, recorded: RecordedTracing) -> Iterator[RankingServiceStub]:
    rows = open_row_sources(store, SCHEMA, HashingEncoder().fingerprint, 1000, 0.0, 0.0, max_scenarios=64)
    ranker = Ranker(SCHEMA, rows, FixedModel(FakeModel()), clock=lambda: START_S + 100)
    built = build_server(RankingService(ranker, 2, 8), "127.0.0.1:0", tracing=recorded.tracing)
    built.server.start()
    with grpc.insecure_channel(built.address) as channel:
        yield RankingServiceStub(channel)
    built.server.stop(10).wait()


def test_a_trace_leads_through_the_stages_of_rank(traced: Traced) -> None:
    """In the order of the pipeline, without gaps; an answer names its trace and its request."""
    publish(traced, [*CATALOGUE, *queries(1)])
    wait_until(lambda: all(folded(traced.stage, kind) for kind in ("behavior", "item", "scenario")))
    wanted = RankRequest(user_id=USER, scenario_id="s0", item_ids=["i0", USER])
    with ranking(traced.stage.store, traced.recorded) as stub:
        begun_ns = time.time_ns()
        _, unsampled = stub.Rank.with_call(wanted, timeout=300, wait_for_ready=True)
        _, call = stub.Rank.with_call(wanted, timeout=300, wait_for_ready=True, metadata=SAMPLED)
        ended_ns = time.time_ns()
    metadata = dict(call.trailing_metadata())
    assert (TRACEPARENT.split("-")[1], 32) == (metadata["x-trace-id"], len(metadata["x-request-id"]))
    assert {"x-request-id"} == set(dict(unsampled.trailing_metadata()))
    spans, method = traced.spans(), "crossrec.ranking.v1.RankingService/Rank"
    stages = sorted((span for span in spans if span.name != method), key=lambda span: span.start_time)
    names = ["wait", "validate", "read_user", "recognise", "hydrate", "encode", "score", "select", "respond"]
    assert names == [span.name for span in stages]
    assert {(CALLER, method), *((method, name) for name in names)} == span_tree(spans)
    assert [span.end_time for span in stages[:-1]] == [span.start_time for span in stages[1:]]
    whole = find_span(spans, method)
    assert begun_ns <= whole.start_time <= stages[0].start_time < stages[-1].end_time <= whole.end_time <= ended_ns
    assert (2, 1) == (whole.attributes["crossrec.candidates"], whole.attributes["crossrec.sources"])
    assert not [span for span in spans if USER in span.to_json()]
