"""Stores one entry in Kafka as the gateway does: validated, with pseudonyms, confirmed."""

from collections.abc import Iterator
from contextlib import contextmanager

from crossrec.events.v1.events_pb2 import Entry
from services.errors import InvalidRequest, Unavailable
from services.gateway.intake import Intake
from services.gateway.main import build_intake
from services.kafka.kafka_publisher import KafkaPublisher
from services.server.security.caller import Scope
from services.settings.load import Settings


@contextmanager
def open_intake(settings: Settings) -> Iterator[Intake]:
    """The gateway's intake with a connection to Kafka of its own, which is closed at the end."""
    publisher = KafkaPublisher(settings.kafka, settings.gateway.kafka_timeout_s)
    try:
        yield build_intake(settings, publisher)
    finally:
        publisher.close(settings.gateway.kafka_timeout_s)


def publish_entry(intake: Intake, entry: Entry, scope: Scope) -> None:
    """Store an entry and wait for Kafka's confirmation.

    Raises InvalidRequest for an invalid entry, StorageRefused if Kafka refuses it until an operator changes something,
    Unavailable if Kafka does not confirm in time; a retry is safe.
    """
    batch = intake.validate([entry], frozenset({scope}))
    (result,) = batch.results
    if result.HasField("rejected"):
        raise InvalidRequest(result.rejected.field, result.rejected.reason)
    timeout_s = intake.config.kafka_timeout_s
    submission = intake.submit(batch, timeout_s)
    failures = submission.failures(timeout_s)
    if refusal := submission.refusal():
        raise refusal
    if failures:
        what = str(entry.WhichOneof("entry")).removeprefix("user_")
        raise Unavailable(f"Kafka has not confirmed the {what} ({type(failures[0]).__name__}): try again")
    (stored,) = submission.answer()
    if stored.HasField("rejected"):
        raise InvalidRequest(stored.rejected.field, stored.rejected.reason)
