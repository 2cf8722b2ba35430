"""An answer of Rank as pages show it: lines, contributions, weights, facts, and degradations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.rank_form import format_time


@dataclass(frozen=True)
class RankedLine:
    """One ranked item.

    Args:
        place: 1 is the best.
        item_id: its id.
        title: its name, or the id.
        score: R[n].
        probability: the score divided by the sum of the weights.
        contributions: M[i,j] * P[j,n] by source scenario; they add up to the score.
        shares: the same over the score; they add up to 1.
    """

    place: int
    item_id: str
    title: str
    score: float
    probability: float
    contributions: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class SourceWeight:
    """A source scenario, its transfer weight M[i,j], and its share M[i,j] / sum_j M[i,j]."""

    scenario_id: str
    name: str
    weight: float
    share: float


@dataclass(frozen=True)
class RankingView:
    """A whole answer.

    Args:
        lines: best first.
        sources: in the order of the contributions.
        facts: label and value.
        warnings: degradations, as text.
        posterior: name and probability of each scenario, if the target was recognised; likeliest first.
    """

    lines: Sequence[RankedLine]
    sources: Sequence[SourceWeight]
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    posterior: Sequence[tuple[str, float]]


def ranking_view(
    answer: pb.RankResponse, titles: Mapping[str, str], names: Mapping[str, str], took_ms: float
) -> RankingView:
    """The view of an answer that took `took_ms` milliseconds."""
    lines = [
        RankedLine(
            place,
            item.item_id,
            titles.get(item.item_id) or item.item_id,
            item.score,
            item.probability,
            tuple(part.contribution for part in item.contributions),
            tuple(part.share for part in item.contributions),
        )
        for place, item in enumerate(answer.items, start=1)
    ]
    sources = [
        SourceWeight(w.scenario_id, names.get(w.scenario_id, w.scenario_id), w.weight, w.share)
        for w in answer.transfer_weights
    ]
    posterior = sorted(answer.scenario_posterior, key=lambda line: -line.probability)
    return RankingView(
        lines,
        sources,
        [
            ("Target scenario", scenario_label(answer.scenario_id, names)),
            ("Model", answer.model_version),
            ("Experiment arm", answer.experiment_arm or "no experiment"),
            *freshness(answer.freshness),
            ("Answer took", f"{took_ms:,.0f} ms, measured by the console"),
        ],
        [describe_degradation(line) for line in answer.degraded],
        [(scenario_label(line.scenario_id, names), line.probability) for line in posterior],
    )


def freshness(found: pb.FeatureFreshness) -> list[tuple[str, str]]:
    """Freshness of the features, as labels and values."""
    newest = (
        f"{format_time(found.newest_user_event.seconds)} UTC"
        if found.HasField("newest_user_event")
        else "none is known"
    )
    read = f"{found.user_read_ms:,} ms ago" if found.user_read_ms else "for this answer"
    return [
        ("User's newest event", newest),
        ("User's features read", read),
        ("Oldest item features", f"{found.oldest_item_read_ms:,} ms old"),
    ]


def describe_degradation(found: pb.Degradation) -> str:
    """A degradation as text."""
    kind = pb.DegradationReason.Name(found.reason) if found.reason in pb.DegradationReason.values() else found.reason
    reason = str(kind).removeprefix("DEGRADATION_REASON_").replace("_", " ").capitalize()
    return f"{reason}: {found.detail}"


def scenario_label(scenario_id: str, names: Mapping[str, str]) -> str:
    """A scenario's name with its id; the id alone where it has no other name."""
    name = names.get(scenario_id, scenario_id)
    return name if name == scenario_id else f"{name} ({scenario_id})"
