"""Metrics of entries and calls."""

import grpc
from prometheus_client import CollectorRegistry

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate
from services.gateway.batch import entry_type
from services.gateway.intake import Intake
from services.gateway.metrics import GatewayMetrics
from services.gateway.pressure import PendingBudget, RateLimits
from services.kafka.publisher import MemoryPublisher
from services.kafka.refusals import RecordTooLarge
from services.server.security.caller import EVERY_SCOPE
from tests.contract.event_gateway import INTAKE_CONFIG, NOW_S


def event(number: int, kind: str, user_id: str = "ann") -> Entry:
    made = BehaviorEvent(event_id=f"e{number}", user_id=user_id, scenario_id="tv", item_id="tea", type=kind)
    made.time.FromSeconds(int(NOW_S) - 60)
    return Entry(behavior_event=made)


def test_entries_are_counted_when_their_outcome_is_known() -> None:
    """By type: rejected ones at once, others when Kafka confirms or fails them, even after the call has ended."""
    registry, publisher = CollectorRegistry(), MemoryPublisher({1: TimeoutError("late")}, holding=True)
    metrics = GatewayMetrics(registry)
    intake = Intake(publisher, INTAKE_CONFIG, PendingBudget(1 << 20, 10), now_s=lambda: NOW_S, observer=metrics)
    entries = [event(number, "EVENT_TYPE_CLICK") for number in range(3)] + [event(3, "EVENT_TYPE_PURCHASE", user_id="")]
    submission = intake.submit(intake.validate(entries, EVERY_SCOPE), 1.0)

    def count(kind: str, outcome: str) -> float | None:
        return registry.get_sample_value("crossrec_gateway_entries_total", {"type": kind, "outcome": outcome})

    assert (1, None) == (count("purchase", "rejected"), count("click", "accepted"))
    publisher.release()
    assert 1 == len(submission.failures(1.0))
    assert (2, 1) == (count("click", "accepted"), count("click", "unconfirmed"))
    assert 1 == registry.get_sample_value("crossrec_gateway_confirmation_seconds_count")


def test_an_entry_too_large_for_its_topic_counts_as_rejected() -> None:
    """It is not unconfirmed: that would raise the alert of a Kafka that does not confirm."""
    registry, publisher = CollectorRegistry(), MemoryPublisher({0: RecordTooLarge("t", 2, 1)})
    budget = PendingBudget(1 << 20, 10)
    intake = Intake(publisher, INTAKE_CONFIG, budget, now_s=lambda: NOW_S, observer=GatewayMetrics(registry))
    intake.submit(intake.validate([event(number, "EVENT_TYPE_CLICK") for number in range(2)], EVERY_SCOPE), 1.0)
    found = {
        outcome: registry.get_sample_value("crossrec_gateway_entries_total", {"type": "click", "outcome": outcome})
        for outcome in ("rejected", "accepted", "unconfirmed")
    }
    assert {"rejected": 1, "accepted": 1, "unconfirmed": None} == found


def test_the_number_of_type_labels_is_bounded() -> None:
    """All unknown type numbers share one label."""
    assert ["item_update", "unknown", "unknown", "unspecified"] == [
        entry_type(Entry(item_update=ItemUpdate())),
        entry_type(Entry()),
        entry_type(Entry(behavior_event=BehaviorEvent(type=77))),  # type: ignore[arg-type]
        entry_type(Entry(behavior_event=BehaviorEvent())),
    ]


def test_calls_are_counted_by_method_and_code() -> None:
    """Counters start at 0."""
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    metrics.on_call("Publish", grpc.StatusCode.OK, 0.1)
    name = "crossrec_gateway_calls_total"
    assert 1 == registry.get_sample_value(name, {"method": "Publish", "code": "OK"})
    assert 0 == registry.get_sample_value(name, {"method": "PublishStream", "code": "UNAVAILABLE"})


def test_rate_limited_calls_are_counted() -> None:
    """Every rejected call."""
    rates = RateLimits(1.0, 1, clock_s=lambda: 0.0)
    assert [0.0, 1.0, 1.0] == [rates.delay_s("ann", 1) for _ in range(3)]
    assert 2 == rates.limited
