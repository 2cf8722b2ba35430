"""Who goes first when there is too much to do: what a caller says of a request in its metadata."""

from collections.abc import Iterable
from enum import Enum

from services.errors import InvalidRequest

PRIORITY = "x-crossrec-priority"
"""The metadata key."""


class Priority(Enum):
    """Interactive: somebody waits for the answer. Batch: nobody does, and it is refused first."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


def priority_of(metadata: Iterable[tuple[str, str | bytes]]) -> Priority:
    """The priority that a call's metadata names, interactive if none. Raises InvalidRequest for an unknown one."""
    for key, value in metadata:
        if key == PRIORITY:
            try:
                return Priority(value)
            except ValueError as error:
                known = ", ".join(priority.value for priority in Priority)
                raise InvalidRequest(PRIORITY, f"{value!r} is none of {known}") from error
    return Priority.INTERACTIVE
