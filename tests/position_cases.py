"""Cases of comparing stream positions: the table that the Python functions and the Redis script are tested against."""

from typing import NamedTuple

from services.features.positions import Position


class PositionCase(NamedTuple):
    """A record or write at `position` meets a row at `stored`; both are (topic epoch, partition, offset)."""

    position: Position
    stored: Position
    folded: bool
    behind: bool
    fenced: bool


POSITION_CASES = [
    PositionCase((2, 1, 5), (2, 1, 5), folded=True, behind=False, fenced=False),
    PositionCase((2, 1, 4), (2, 1, 5), folded=True, behind=True, fenced=True),
    PositionCase((2, 1, 0), (2, 1, 5), folded=True, behind=True, fenced=True),
    PositionCase((2, 1, 6), (2, 1, 5), folded=False, behind=False, fenced=False),
    # As numbers, not as text.
    PositionCase((2, 1, 9), (2, 1, 10), folded=True, behind=True, fenced=True),
    PositionCase((2, 1, 10), (2, 1, 9), folded=False, behind=False, fenced=False),
    PositionCase((9, 0, 0), (10, 0, 0), folded=False, behind=False, fenced=True),
    # Another partition of the same epoch: offsets are not comparable.
    PositionCase((2, 0, 4), (2, 1, 5), folded=False, behind=False, fenced=False),
    PositionCase((2, 2, 4), (2, 1, 5), folded=False, behind=False, fenced=False),
    # Another epoch: only its order counts.
    PositionCase((1, 1, 9), (2, 1, 5), folded=False, behind=False, fenced=True),
    PositionCase((1, 0, 9), (2, 1, 5), folded=False, behind=False, fenced=True),
    PositionCase((3, 1, 0), (2, 1, 5), folded=False, behind=False, fenced=False),
    # A row that was never written, and one that a backfill wrote.
    PositionCase((1, 0, 0), (-1, -1, -1), folded=False, behind=False, fenced=False),
    PositionCase((1, 0, 0), (0, -1, -1), folded=False, behind=False, fenced=False),
    PositionCase((0, -1, -1), (1, 0, 0), folded=False, behind=False, fenced=True),
    PositionCase((0, -1, -1), (0, -1, -1), folded=True, behind=False, fenced=False),
    # The largest offsets that the event flags of a row leave room for.
    PositionCase((1, 0, 2**40 - 2), (1, 0, 2**40 - 1), folded=True, behind=True, fenced=True),
]
