"""Requests the erasure of a user: validated and stored in Kafka exactly as the gateway does it.

The behaviour consumer then deletes the user's rows. The online store keeps a mark with the time of the erasure, without
expiry: late events of the user then restore nothing. Per deleted row it keeps the position of the erasure, which fences
a consumer that lost its partition; it expires a day after the topic has dropped the last event from before the erasure.
In Kafka the user's records remain until their topics drop them, by the settings `retention`; `crossrec skew` and
`attribution` ignore responses from before the erasure at once. The contribution of the events to counts of items and
scenarios remains; it identifies no user.
"""

from crossrec.events.v1.events_pb2 import Entry, UserErasure
from services.gateway.intake import Intake
from services.server.security.caller import Scope
from services.users.publish import publish_entry

NEXT_STEPS = (
    "Stored in Kafka. The behaviour consumer deletes the user's rows when it reaches the record: `crossrec consumers "
    "status` shows its progress, `crossrec user export` the remaining rows. A mark remains, so that late events do not "
    "restore rows. The user's records remain in Kafka until their topics drop them. The contribution of the events to "
    "counts of items and scenarios remains: it identifies no user."
)

NEXT_STEPS_OF_DATA = (
    "Recorded in the data set: its events of the user are excluded from now on. Run `crossrec replay` and `crossrec "
    "train` again: existing training rows, Feast's offline source and models still contain them."
)


def request_erasure(intake: Intake, user_id: str, time_s: float) -> None:
    """Store an erasure of everything before `time_s` (seconds since 1970) and wait for Kafka's confirmation.

    Raises InvalidRequest for a bad user id, StorageRefused if Kafka refuses it until an operator changes something,
    Unavailable if Kafka does not confirm in time; a retry is safe.
    """
    entry = Entry(user_erasure=UserErasure(user_id=user_id))
    entry.user_erasure.time.FromMicroseconds(round(time_s * 1e6))
    publish_entry(intake, entry, Scope.ERASE)
