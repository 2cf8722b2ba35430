"""Asking for a user to be forgotten: an erasure, judged and stored in Kafka exactly as the gateway does it.

The behaviour consumer then deletes the user's rows. What stays in the online store is a mark with the time of the
erasure, for good: it keeps late events of the user from bringing anything back; and per deleted row the position of
the erasure, which keeps a consumer that lost its partition from writing it back: it is dropped a day after the topic
has dropped the last event from before. In Kafka the user's records stay until their topics drop them, as the settings
`retention` say; `crossrec skew` and `attribution` pass over the answers from before the erasure at once. What the
events added to counts of items and scenarios stays; it names nobody.
"""

from crossrec.events.v1.events_pb2 import Entry, UserErasure
from services.errors import InvalidRequest, Unavailable
from services.gateway.intake import Intake

NEXT_STEPS = (
    "Stored in Kafka. The behaviour consumer deletes the user's rows when it comes to it: `crossrec consumers status` "
    "says how far it is, `crossrec user export` what is left. What stays is the mark that keeps late events from "
    "bringing anything back, and the user's records in Kafka until their topics drop them. What the events added to "
    "counts of items and scenarios stays: it names nobody."
)

NEXT_STEPS_OF_DATA = (
    "Noted in the data set: its events of the user are left out from now on. Run `crossrec replay` and `crossrec "
    "train` again: training rows, Feast's offline source and models from before still rest on them."
)


def request_erasure(intake: Intake, user_id: str, time_s: float) -> None:
    """Store an erasure of what was before `time_s` (seconds since 1970) and wait until Kafka has it.

    Raises InvalidRequest for a bad user id, Unavailable if Kafka does not confirm in time: ask again then.
    """
    entry = Entry(user_erasure=UserErasure(user_id=user_id))
    entry.user_erasure.time.FromMicroseconds(round(time_s * 1e6))
    batch = intake.validate([entry])
    (result,) = batch.results
    if result.HasField("rejected"):
        raise InvalidRequest(result.rejected.field, result.rejected.reason)
    timeout_s = intake.config.kafka_timeout_s
    failures = intake.submit(batch, timeout_s).failures(timeout_s)
    if failures:
        raise Unavailable(f"Kafka has not confirmed the erasure ({type(failures[0]).__name__}): ask again")
