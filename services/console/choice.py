"""What somebody chose in the form of a page, and the request that it becomes."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest
from services.console.catalogue import Known
from services.errors import ConfigurationError, CrossRecError
from services.settings.times import parse_time_s

POPULAR, SAMPLE, PASTED = "Popular items", "Random sample", "Pasted ids"
SOURCES = (POPULAR, SAMPLE, PASTED)
MOST_CANDIDATES = 2000
"""What Rank takes."""

SEPARATORS = re.compile(r"[\s,;]+")


class BadChoice(CrossRecError):
    """Something in the form does not make a request; the text says what to enter."""


@dataclass
class Choice:
    """The form; pages share it and change it.

    Args:
        user_id: the user.
        scenario_id: the target scenario; empty: the server recognises it.
        source: where candidates come from, one of SOURCES.
        count: how many of them.
        pasted: ids, where they are pasted.
        moment: the time to rank at, ISO 8601, UTC; empty: now.
    """

    user_id: str = ""
    scenario_id: str = ""
    source: str = POPULAR
    count: int = 20
    pasted: str = ""
    moment: str = ""

    def prefill(self, known: Known, now_s: float) -> None:
        """Fill what is empty with the first that is there; a system whose events are long past is asked as of then."""
        if not self.user_id and known.users:
            self.user_id = known.users[0]
        if not self.scenario_id and known.scenarios:
            self.scenario_id = next(iter(known.scenarios))
        if not self.moment and known.is_past(now_s):
            self.moment = iso(known.newest_s)


def candidates(choice: Choice, known: Known, seed: int = 0) -> list[str]:
    """The ids to rank; BadChoice where there are none, or too many."""
    if choice.source == PASTED:
        found = list(dict.fromkeys(part for part in SEPARATORS.split(choice.pasted) if part))
        if not found:
            raise BadChoice("Candidates: paste item ids, separated by spaces, commas or lines")
        if len(found) > MOST_CANDIDATES:
            raise BadChoice(f"Candidates: {len(found):,} ids are pasted, {MOST_CANDIDATES:,} are the most")
        return found
    if not 1 <= choice.count <= MOST_CANDIDATES:
        raise BadChoice(f"Number of candidates: 1 to {MOST_CANDIDATES:,}")
    if not known.items:
        raise BadChoice("Candidates: the online store knows no items yet; paste ids")
    if choice.source == SAMPLE:
        # Of the sorted ids, so that popularity, which moves, does not change the sample.
        return random.Random(seed).sample(sorted(known.items), min(choice.count, len(known.items)))  # noqa: S311
    return list(known.items[: choice.count])


def rank_request(choice: Choice, item_ids: Sequence[str], moment_s: float | None = None) -> RankRequest:
    """An explained request; BadChoice without a user, or with a time that is none.

    Args:
        choice: the form.
        item_ids: the candidates.
        moment_s: when to rank, seconds since 1970, instead of the form's moment.
    """
    if not choice.user_id.strip():
        raise BadChoice("User: enter a user id")
    request = RankRequest(
        user_id=choice.user_id.strip(),
        scenario_id=choice.scenario_id,
        item_ids=item_ids,
        options=RankOptions(explain=True),
    )
    at_s = moment_of(choice) if moment_s is None else moment_s
    if at_s is not None:
        request.request_time.CopyFrom(stamp(at_s))
    return request


def moment_of(choice: Choice) -> float | None:
    """The chosen time, seconds since 1970; None: now. BadChoice for what is no time."""
    if not choice.moment.strip():
        return None
    try:
        return parse_time_s("Moment", choice.moment.strip())
    except ConfigurationError as error:
        raise BadChoice(f"Moment: enter a UTC time like {iso(1_800_000_000)}, or nothing for now") from error


def stamp(time_s: float) -> Timestamp:
    """A protobuf timestamp, exact to the millisecond."""
    made = Timestamp()
    made.FromMilliseconds(round(time_s * 1000))
    return made


def iso(time_s: float) -> str:
    """A time for people, UTC, to the second."""
    return datetime.fromtimestamp(int(time_s), UTC).isoformat().removesuffix("+00:00")
