"""The stage that validates a Rank request: every rule of ranking.proto, each error with the field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import InvalidRequest
from services.features.attribute_rules import find_attributes_fault
from services.features.attributes import category_values
from services.features.config import DAY_S, FeatureConfig
from services.features.ids import MAX_ID_BYTES, find_id_fault
from services.features.times import future_hint

MAX_BYTES_PER_CHARACTER = 4
MAX_ITEMS = 2000
MAX_PAIRS = 128_000
"""Most candidates times scenarios: every pair has a preference to compute, and in an explained answer 14 bytes. As many
as 2,000 candidates in 64 scenarios; any answer is then smaller than 4 MiB, which gRPC clients receive by default."""

EARLIEST_S = 315_532_800
"""1980-01-01, seconds since 1970."""


@dataclass(frozen=True)
class RankQuery:
    """A validated request: the candidates, for whom and where to rank them.

    `user_id` is the id in the online store; `scenario_id` is "" if the scenario is to be recognised; `top_k` is 0 for
    all; times are in seconds since 1970.
    """

    user_id: str
    scenario_id: str
    item_ids: tuple[str, ...]
    top_k: int
    time_s: float
    context: Mapping[str, float]
    explain: bool
    diversity: float
    context_categories: Mapping[str, Sequence[str]] = field(default_factory=dict)


def validate(
    message: pb.RankRequest, config: FeatureConfig, now_s: float, pseudonymize: Callable[[str], str] = str
) -> RankQuery:
    """The request as a query; raises InvalidRequest with field and reason if it breaks the contract.

    `pseudonymize` maps the user id of the request to the id in the online store.
    """
    _check_id("user_id", message.user_id, required=True)
    _check_id("scenario_id", message.scenario_id, required=False)
    item_ids = tuple(message.item_ids)
    _check_items(item_ids)
    if message.top_k > MAX_ITEMS:
        raise InvalidRequest("top_k", f"is {message.top_k}, at most {MAX_ITEMS} is allowed")
    categories = category_values(message.context.category_attributes)
    _check_context(message.context.attributes, categories, config)
    diversity = message.options.diversity
    if not 0 <= diversity <= 1:  # NaN too
        raise InvalidRequest("options.diversity", f"is {diversity:g}, must be 0 to 1")
    return RankQuery(
        user_id=pseudonymize(message.user_id),
        scenario_id=message.scenario_id,
        item_ids=item_ids,
        top_k=message.top_k,
        time_s=_parse_time(message, now_s),
        context=dict(message.context.attributes),
        explain=message.options.explain,
        diversity=diversity,
        context_categories=categories,
    )


def check_pairs(query: RankQuery, scenarios: int) -> None:
    """Raise InvalidRequest if the candidates are too many for that number of scenarios."""
    candidates = len(query.item_ids)
    if candidates * scenarios > MAX_PAIRS:
        raise InvalidRequest(
            "item_ids",
            f"has {candidates} candidates, which {scenarios} scenarios make {candidates * scenarios} preferences, "
            f"at most {MAX_PAIRS} are computed for a request: send at most {MAX_PAIRS // scenarios} candidates",
        )


def _check_id(field: str, value: str, *, required: bool) -> None:
    if required and not value:
        raise InvalidRequest(field, "is empty")
    if fault := find_id_fault(value):
        raise InvalidRequest(field, fault)


def _check_items(ids: Sequence[str]) -> None:
    if not ids:
        raise InvalidRequest("item_ids", "is empty, at least one candidate is needed")
    if len(ids) > MAX_ITEMS:
        raise InvalidRequest("item_ids", f"has {len(ids)} candidates, at most {MAX_ITEMS} are allowed")
    short = len(max(ids, key=len)) * MAX_BYTES_PER_CHARACTER <= MAX_ID_BYTES
    if short and len(set(ids)) == len(ids) and "" not in ids and "".join(ids).isprintable():
        return
    seen: set[str] = set()
    for number, item in enumerate(ids):
        _check_id(f"item_ids[{number}]", item, required=True)
        if item in seen:
            raise InvalidRequest(f"item_ids[{number}]", "repeats an earlier candidate")
        seen.add(item)


def _check_context(
    numbers: Mapping[str, float], categories: Mapping[str, Sequence[str]], config: FeatureConfig
) -> None:
    if found := find_attributes_fault(config, "context", numbers, categories):
        raise InvalidRequest(f"context.{found[0]}", found[1])


def _parse_time(message: pb.RankRequest, now_s: float) -> float:
    if not message.HasField("request_time"):
        return now_s
    nanos = message.request_time.nanos
    if not 0 <= nanos < 1_000_000_000:
        raise InvalidRequest("request_time", f"has {nanos} nanos, must be 0 to 999,999,999")
    time_s = message.request_time.seconds + nanos / 1e9
    if message.request_time.seconds < EARLIEST_S:  # time_s may be rounded up
        raise InvalidRequest("request_time", "is before 1980")
    if time_s > now_s + DAY_S:
        hint = future_hint(message.request_time.seconds)
        raise InvalidRequest("request_time", f"is more than a day in the future{hint}")
    return time_s
