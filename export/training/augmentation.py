"""What training may add to rows where a scenario has few: masked history, rows weighed across scenarios, soft labels.

Pure functions of a batch; knows nothing of models beyond the transfer weights that it is given.
"""

from dataclasses import dataclass

from services.runtime.errors import CrossRecError


class AugmentationError(CrossRecError):
    """An augmentation's number is out of its range."""


@dataclass(frozen=True)
class Augmentation:
    """Which additions are on; none by default.

    Args:
        mask_history: probability that a user's history in a source scenario is hidden from a training row.
        weigh_by_transfer: scarce target scenario for which rows of target j count M[target, j]; empty: all count 1.
        neighbour_label: label of a negative whose text is among the nearest to a positive of the same request; 0: off.
        neighbours: how many nearest texts of a positive count as near.
    """

    mask_history: float = 0.0
    weigh_by_transfer: str = ""
    neighbour_label: float = 0.0
    neighbours: int = 20

    def __post_init__(self) -> None:
        """Raise AugmentationError naming the field at fault."""
        for name in ("mask_history", "neighbour_label"):
            if not 0 <= getattr(self, name) < 1:
                raise AugmentationError(f"augmentation.{name}: {getattr(self, name)} is not in [0, 1)")
        if self.neighbours < 1:
            raise AugmentationError(f"augmentation.neighbours: {self.neighbours} is not at least 1")


NONE = Augmentation()
