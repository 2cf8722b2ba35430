"""The shares of source scenarios in a user's transfer weights: Rank's answer for target scenario i holds row i."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.ranking_view import describe_degradation


@dataclass(frozen=True)
class Transfer:
    """Shares of source scenarios, for one user.

    Args:
        targets: ids of target scenarios i.
        sources: ids of source scenarios j.
        shares: M[i,j] / sum_j M[i,j]; each row adds up to 1.
        warnings: degradations of the answers, each once.
    """

    targets: Sequence[str]
    sources: Sequence[str]
    shares: Sequence[Sequence[float]]
    warnings: Sequence[str]

    @property
    def extremes(self) -> tuple[str, str] | None:
        """The largest and the smallest share of another scenario than the target, in words; None without any."""
        pairs = [
            (share, source, target)
            for target, row in zip(self.targets, self.shares, strict=True)
            for source, share in zip(self.sources, row, strict=True)
            if source != target
        ]
        if not pairs:
            return None
        (most, from_most, to_most), (least, from_least, to_least) = max(pairs), min(pairs)
        return f"{from_most} to {to_most}: {most:.1%}", f"{from_least} to {to_least}: {least:.1%}"


def transfer_of(answers: Mapping[str, pb.RankResponse]) -> Transfer:
    """The matrix from the answers by target scenario; a source that an answer lacks has share 0 in its row."""
    sources = list(dict.fromkeys(w.scenario_id for answer in answers.values() for w in answer.transfer_weights))
    rows = [{w.scenario_id: w.share for w in answer.transfer_weights} for answer in answers.values()]
    shares = [[row.get(source, 0.0) for source in sources] for row in rows]
    warnings = dict.fromkeys(describe_degradation(line) for answer in answers.values() for line in answer.degraded)
    return Transfer(list(answers), sources, shares, list(warnings))
