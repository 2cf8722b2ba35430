"""Training choices that a kind of model may set, and the course of a training. Knows numbers, not torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        hidden: widths of the network's hidden layers, of P/M models the preference network's; empty: affine.
        hidden_g: widths of the hidden layers of P/M models' transfer network; empty: affine.
        dropout: share of hidden values that a training step leaves out (P/M models and `pooled`).
        members: networks of which a P/M model's preference is the mean.
        own_weight: weight of the cross-entropy of a P/M model's P[i] on the rows of scenario i.
        transfer_pull: weight of the squared distance of a P/M model's transfer logits from their prior.
        epochs: most passes over the training rows.
        patience: passes without a better validation AUC until training stops.
        batch_rows: rows per step, in whole contexts.
        buffer_rows: rows in memory among which contexts are shuffled.
        learning_rate: Adam's initial rate, which falls to 0 along a cosine; LightGBM's shrinkage.
        weight_decay: AdamW's decoupled decay.
        gradient_norm: gradients are clipped to this norm.
        trees: most trees of `lightgbm`.
        leaves: leaves per tree of `lightgbm`.
        threads: threads that compute; 0: one per core.
        seed: of initial weights and row order.
        device: PyTorch device.
    """

    hidden: tuple[int, ...] = (128, 64)
    hidden_g: tuple[int, ...] = (32,)
    dropout: float = 0.0
    members: int = 1
    own_weight: float = 0.5
    transfer_pull: float = 0.001
    epochs: int = 8
    patience: int = 2
    batch_rows: int = 4096
    buffer_rows: int = 200_000
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    gradient_norm: float = 5.0
    trees: int = 400
    leaves: int = 63
    threads: int = 0
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Epoch:
    """A point of the learning curve: the state after a pass over the training rows, or after some trees.

    Args:
        number: of the pass, or of the newest tree; from 1.
        train_loss: mean log loss of the rows while they were trained on; NaN: not measured.
        validation_auc: AUC on the validation rows; NaN without any.
        steps: gradient steps, or trees, so far.
        validation_loss: log loss of the validation rows; NaN without any.
    """

    number: int
    train_loss: float
    validation_auc: float
    steps: int = 0
    validation_loss: float = float("nan")


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The state that is kept: that with the highest validation AUC, the first of equals; the last if none is known."""
    measured = [epoch for epoch in history if not math.isnan(epoch.validation_auc)]
    return max(measured, key=lambda epoch: epoch.validation_auc) if measured else history[-1]
