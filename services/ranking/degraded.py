"""What an answer had to do without, collected over the stages of a request."""

from dataclasses import dataclass, field

from crossrec.ranking.v1 import ranking_pb2 as pb


@dataclass
class Degraded:
    """The reasons, each once."""

    reasons: list[pb.Degradation] = field(default_factory=list)

    def add(self, reason: pb.DegradationReason, detail: str, items: int = 0) -> None:
        """Note a reason."""
        if all(known.reason != reason for known in self.reasons):
            self.reasons.append(pb.Degradation(reason=reason, detail=detail, item_count=items))
