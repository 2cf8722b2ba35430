"""Publishes an update of a user's attributes: validated and stored in Kafka exactly as the gateway does it.

The behaviour consumer then folds it into the user's row.
"""

from collections.abc import Mapping

from crossrec.events.v1.events_pb2 import Entry, UserUpdate
from services.errors import InvalidRequest
from services.gateway.intake import Intake
from services.server.security.caller import Scope
from services.users.publish import publish_entry

NEXT_STEPS = (
    "Stored in Kafka. The behaviour consumer replaces the user's attributes when it reaches the record: `crossrec user "
    "export` then shows them."
)

Attributes = Mapping[str, float | str | list[str]]


def parse_attributes(given: object) -> Attributes:
    """The attributes in a JSON object: numbers, texts, lists of texts. Raises InvalidRequest naming the attribute."""
    if not isinstance(given, dict):
        raise InvalidRequest("attributes", f'is {type(given).__name__}, expected an object like {{"age": 24}}')
    for name, value in given.items():
        texts = value if isinstance(value, list) else [value]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not all(isinstance(text, str) for text in texts):
            raise InvalidRequest(f"attributes[{name!r}]", "is neither a number, a text nor a list of texts")
    return given


def publish_update(intake: Intake, user_id: str, attributes: Attributes, time_s: float) -> None:
    """Store the whole new state of a user's attributes, valid from `time_s`, and wait for Kafka's confirmation.

    Raises InvalidRequest, StorageRefused if Kafka refuses it until an operator changes something, Unavailable if Kafka
    does not confirm in time; a retry is safe.
    """
    update = UserUpdate(user_id=user_id)
    update.time.FromMicroseconds(round(time_s * 1e6))
    for name, value in attributes.items():
        if isinstance(value, int | float):
            update.attributes[name] = value
        else:
            update.category_attributes[name].values.extend([value] if isinstance(value, str) else value)
    publish_entry(intake, Entry(user_update=update), Scope.PUBLISH)
