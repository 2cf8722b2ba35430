"""The priority in a call's metadata."""

import pytest

from services.errors import InvalidRequest
from services.ranking.admission.priority import PRIORITY, Priority, priority_of


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), Priority.INTERACTIVE),
        ((("user-agent", "x"),), Priority.INTERACTIVE),
        (((PRIORITY, "interactive"),), Priority.INTERACTIVE),
        ((("user-agent", "x"), (PRIORITY, "batch")), Priority.BATCH),
    ],
)
def test_what_is_not_said_is_interactive(metadata, expected) -> None:
    """Other keys say nothing."""
    assert expected == priority_of(metadata)


@pytest.mark.parametrize("value", ["", "Batch", "urgent", b"batch"])
def test_an_unknown_priority_is_named(value) -> None:
    """With the key and what there is."""
    with pytest.raises(InvalidRequest, match=r"x-crossrec-priority: .* is none of interactive, batch"):
        priority_of(((PRIORITY, value),))
