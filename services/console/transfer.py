"""The transfer matrix M[i,j] of a user: the answer of Rank for target scenario i holds row i."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.ranking_view import describe_degradation


@dataclass(frozen=True)
class Transfer:
    """Transfer weights of a user.

    Args:
        targets: ids of target scenarios i.
        sources: ids of source scenarios j.
        matrix: M[i,j].
        warnings: degradations of the answers, each once.
    """

    targets: Sequence[str]
    sources: Sequence[str]
    matrix: Sequence[Sequence[float]]
    warnings: Sequence[str]

    @property
    def extremes(self) -> tuple[str, str] | None:
        """The strongest and the weakest transfer between two different scenarios, in words; None without any."""
        pairs = [
            (weight, source, target)
            for target, row in zip(self.targets, self.matrix, strict=True)
            for source, weight in zip(self.sources, row, strict=True)
            if source != target
        ]
        if not pairs:
            return None
        (most, from_most, to_most), (least, from_least, to_least) = max(pairs), min(pairs)
        return f"{from_most} to {to_most}: {most:.3f}", f"{from_least} to {to_least}: {least:.3f}"


def transfer_of(answers: Mapping[str, pb.RankResponse]) -> Transfer:
    """The matrix from the answers by target scenario; a source that an answer lacks has weight 0 in its row."""
    sources = list(dict.fromkeys(w.scenario_id for answer in answers.values() for w in answer.transfer_weights))
    rows = [{w.scenario_id: w.weight for w in answer.transfer_weights} for answer in answers.values()]
    matrix = [[row.get(source, 0.0) for source in sources] for row in rows]
    warnings = dict.fromkeys(describe_degradation(line) for answer in answers.values() for line in answer.degraded)
    return Transfer(list(answers), sources, matrix, list(warnings))
