"""How models are trained: one small table of choices, with the best known ones per kind.

Knows numbers; knows nothing of torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from services.errors import ConfigurationError


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        hidden: hidden layers of the network, of P/M models the preference network's; empty: affine.
        hidden_g: hidden layers of P/M models' transfer network; empty: affine.
        dropout: share of hidden values that a training step leaves out (P/M models and `pooled`).
        members: networks of which a P/M model's preference is the mean.
        epochs: most passes over the training rows.
        patience: passes without a better validation AUC until training stops.
        batch_rows: rows per step, in whole contexts.
        buffer_rows: rows in memory among which contexts are shuffled.
        learning_rate: Adam's, at the start; it falls to 0 along a cosine. LightGBM's shrinkage.
        weight_decay: AdamW's decoupled decay.
        gradient_norm: gradients are clipped to this norm.
        mask_history: probability that a training row does not see the user's history in a source scenario.
        weigh_by_transfer: scenario for whose sake rows of another target j count M[scenario, j]; empty: all count 1.
        neighbour_label: label of a negative whose text is near a positive's of its request; 0: off.
        trees: most trees of `lightgbm`.
        leaves: leaves per tree of `lightgbm`.
        threads: of `lightgbm`; 0: as many as there are cores.
        seed: of initial weights and order.
        device: torch device.
    """

    hidden: tuple[int, ...] = (128, 64)
    hidden_g: tuple[int, ...] = (32,)
    dropout: float = 0.0
    members: int = 1
    epochs: int = 8
    patience: int = 2
    batch_rows: int = 4096
    buffer_rows: int = 200_000
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    gradient_norm: float = 5.0
    mask_history: float = 0.0
    weigh_by_transfer: str = ""
    neighbour_label: float = 0.0
    trees: int = 400
    leaves: int = 63
    threads: int = 0
    seed: int = 0
    device: str = "cpu"


CONFIGS = {
    "popularity": TrainingConfig(hidden=(), learning_rate=5e-2, epochs=3),
    "past_count": TrainingConfig(hidden=(), learning_rate=5e-2, epochs=3),
    "logistic": TrainingConfig(hidden=(), learning_rate=2e-2),
    "shared_bottom": TrainingConfig(),
    "star": TrainingConfig(),
    "pooled": TrainingConfig(),
    "lightgbm": TrainingConfig(learning_rate=0.1),
    "affine": TrainingConfig(hidden=(), hidden_g=(), learning_rate=2e-2),
    "neural": TrainingConfig(members=3),
}
"""Every kind, simplest first."""

KINDS = tuple(CONFIGS)


def config_of(kind: str, *overrides: Mapping[str, Any]) -> TrainingConfig:
    """The kind's choices with others over them, the last first; None overrides nothing.

    Raises ConfigurationError naming a kind or choice that does not exist.
    """
    if kind not in CONFIGS:
        raise ConfigurationError(f"model: no kind {kind}; there are {', '.join(KINDS)}")
    known = {choice.name for choice in fields(TrainingConfig)}
    given = {name: value for values in overrides for name, value in values.items() if value is not None}
    if unknown := sorted(given.keys() - known):
        raise ConfigurationError(f"training: no choice {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return replace(CONFIGS[kind], **given)
