"""The form that pages share, and the request that is built from it."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest
from services.console.catalogue import KnownNames
from services.errors import ConfigurationError, CrossRecError
from services.settings.times import parse_time_s

POPULAR, SAMPLE, PASTED = "Popular items", "Random sample", "Pasted ids"
SOURCES = (POPULAR, SAMPLE, PASTED)
MOST_CANDIDATES = 2000
"""Limit of Rank."""

SEPARATORS = re.compile(r"[\s,;]+")


class InvalidForm(CrossRecError):
    """A field of the form is missing or invalid; the text names it and what to enter."""


@dataclass
class RankForm:
    """The fields of the form; shared by the pages.

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

    def prefill(self, known: KnownNames, now_s: float) -> None:
        """Fill empty fields with the first choice; if the newest event is long past, set the time to it."""
        if not self.user_id and known.users:
            self.user_id = known.users[0]
        if not self.scenario_id and known.scenarios:
            self.scenario_id = next(iter(known.scenarios))
        if not self.moment and known.is_past(now_s):
            self.moment = format_time(known.newest_s)


def select_candidates(form: RankForm, known: KnownNames, seed: int = 0) -> list[str]:
    """The ids to rank; InvalidForm if there are none, or too many."""
    if form.source == PASTED:
        found = list(dict.fromkeys(part for part in SEPARATORS.split(form.pasted) if part))
        if not found:
            raise InvalidForm("Candidates: paste item ids, separated by spaces, commas or lines")
        if len(found) > MOST_CANDIDATES:
            raise InvalidForm(f"Candidates: {len(found):,} ids are pasted, {MOST_CANDIDATES:,} are the most")
        return found
    if not 1 <= form.count <= MOST_CANDIDATES:
        raise InvalidForm(f"Number of candidates: 1 to {MOST_CANDIDATES:,}")
    if not known.items:
        raise InvalidForm("Candidates: the online store knows no items yet; paste ids")
    if form.source == SAMPLE:
        # From the sorted ids: popularity changes and would change the sample.
        return random.Random(seed).sample(sorted(known.items), min(form.count, len(known.items)))  # noqa: S311
    return list(known.items[: form.count])


def is_complete(form: RankForm, known: KnownNames) -> bool:
    """Whether the form makes a request as it is."""
    try:
        rank_request(form, select_candidates(form, known))
    except InvalidForm:
        return False
    return True


def rank_request(form: RankForm, item_ids: Sequence[str], moment_s: float | None = None) -> RankRequest:
    """A request with explanations; InvalidForm without a user, or with an invalid time.

    Args:
        form: the form.
        item_ids: the candidates.
        moment_s: time to rank at, seconds since 1970, instead of the form's.
    """
    if not form.user_id.strip():
        raise InvalidForm("User: enter a user id")
    request = RankRequest(
        user_id=form.user_id.strip(),
        scenario_id=form.scenario_id,
        item_ids=item_ids,
        options=RankOptions(explain=True),
    )
    at_s = parse_moment(form) if moment_s is None else moment_s
    if at_s is not None:
        request.request_time.CopyFrom(to_timestamp(at_s))
    return request


def parse_moment(form: RankForm) -> float | None:
    """The time in the form, seconds since 1970; None: now. InvalidForm for an invalid time."""
    if not form.moment.strip():
        return None
    try:
        return parse_time_s("Moment", form.moment.strip())
    except ConfigurationError as error:
        raise InvalidForm(f"Moment: enter a UTC time like {format_time(1_800_000_000)}, or nothing for now") from error


def to_timestamp(time_s: float) -> Timestamp:
    """A protobuf timestamp, exact to the millisecond."""
    made = Timestamp()
    made.FromMilliseconds(round(time_s * 1000))
    return made


def format_time(time_s: float) -> str:
    """A time as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(int(time_s), UTC).isoformat().removesuffix("+00:00")
