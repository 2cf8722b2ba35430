"""Fits a P/M model: Adam on binary cross-entropy of the probability form, seeded, best epoch kept.

Knows torch and rows in memory; knows nothing of files, registries or ONNX.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from export.evaluation.metrics import auc
from export.training.model import PreferenceTransfer, combine
from export.training.rows import Batch, Rows, batches


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        hidden_f: hidden layers of the preference network; empty: affine.
        hidden_g: hidden layers of the transfer network; empty: affine.
        epochs: most passes over the training rows.
        patience: passes without a better validation AUC until training stops.
        contexts_per_batch: users-at-a-time per step; each brings all its rows.
        learning_rate: Adam's, at the start; it falls to 0 along a cosine.
        weight_decay: AdamW's decoupled decay.
        gradient_norm: gradients are clipped to this norm.
        seed: of initial weights and order.
        device: torch device.
    """

    hidden_f: tuple[int, ...] = (128, 64)
    hidden_g: tuple[int, ...] = (32,)
    epochs: int = 8
    patience: int = 2
    contexts_per_batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    gradient_norm: float = 5.0
    seed: int = 0
    device: str = "cpu"


AFFINE = TrainingConfig(hidden_f=(), hidden_g=(), learning_rate=2e-2)
NEURAL = TrainingConfig()
CONFIGS = {"affine": AFFINE, "neural": NEURAL}


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows gave."""

    number: int
    train_loss: float
    validation_auc: float


def train(
    rows: Rows, widths: dict[str, int], config: TrainingConfig, report: Callable[[Epoch], None] = lambda _: None
) -> tuple[PreferenceTransfer, list[Epoch]]:
    """Train on split `train`, keep the epoch with the best AUC on `validation` (or the last, without one)."""
    torch.manual_seed(config.seed)
    fitting, validating = rows.where(rows.split == "train"), rows.where(rows.split == "validation")
    model = PreferenceTransfer(widths, config.hidden_f, config.hidden_g).to(config.device)
    fit_scales(model, fitting)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = -(-len(np.unique(fitting.context)) // config.contexts_per_batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps * config.epochs)
    generator = np.random.default_rng(config.seed)
    history: list[Epoch] = []
    best: dict[str, Any] = {}
    with Progress(transient=True) as progress:
        for number in range(1, config.epochs + 1):
            task = progress.add_task(f"epoch {number}", total=steps)
            losses = []
            for batch in batches(fitting, config.contexts_per_batch, generator):
                losses.append(_step(model, optimiser, fitting, batch, config))
                schedule.step()
                progress.advance(task)
            progress.remove_task(task)
            scored = auc(validating.label, score(model, validating)) if len(validating.label) else float("nan")
            history.append(Epoch(number, float(np.mean(losses)), scored))
            report(history[-1])
            if _is_best(history):
                best = copy.deepcopy(model.state_dict())
            elif number - _best(history).number >= config.patience:
                break
    model.load_state_dict(best)
    return model.eval(), history


def _is_best(history: list[Epoch]) -> bool:
    return history[-1] is _best(history)


def _best(history: list[Epoch]) -> Epoch:
    """The first epoch with the highest validation AUC; the last one where none could be measured."""
    measured = [epoch for epoch in history if not np.isnan(epoch.validation_auc)]
    return max(measured, key=lambda epoch: epoch.validation_auc) if measured else history[-1]


def fit_scales(model: PreferenceTransfer, rows: Rows) -> None:
    """Set the model's standardisation from the rows; what rows share counts once."""
    contexts = np.unique(rows.context)
    present = {
        "scenario": rows.scenario[np.unique(rows.moment[contexts])],
        "behavior": rows.behavior[contexts],
        "language": rows.language[contexts],
        "item": rows.item,
        "item_text": rows.item_text[np.unique(rows.text)],
        "cross": rows.cross,
    }
    for name, values in present.items():
        # A quarter million rows settle mean and deviation; all of them would only cost memory.
        sample = values if len(values) <= 250_000 else values[:: -(-len(values) // 250_000)]
        model.standardise[name].fit(torch.from_numpy(sample))  # type: ignore[operator]


def _step(
    model: PreferenceTransfer, optimiser: torch.optim.Optimizer, rows: Rows, batch: Batch, config: TrainingConfig
) -> float:
    probability = _probability(model, rows, batch)
    label = torch.from_numpy(rows.label[batch.rows].astype(np.float32)).to(probability.device)
    loss = torch.nn.functional.binary_cross_entropy(probability.clamp(1e-6, 1 - 1e-6), label)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
    optimiser.step()
    return float(loss.detach())


def _probability(model: PreferenceTransfer, rows: Rows, batch: Batch) -> Tensor:
    device = next(model.parameters()).device

    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(device)

    scenario = tensor(rows.scenario[rows.moment[batch.contexts]])
    language = tensor(rows.language[batch.contexts])
    context = model.context_part(scenario, tensor(rows.behavior[batch.contexts]), language)
    item = model.item_part(tensor(rows.item[batch.rows]), tensor(rows.item_text[rows.text[batch.rows]]))
    row_context, target = tensor(batch.row_context), tensor(rows.target[batch.rows])
    preference = model.preference(context[row_context], item, tensor(rows.cross[batch.rows]))
    weights = model.transfer(scenario, language)[row_context, target]
    return combine(preference, weights)[1]


@torch.no_grad()
def score(model: PreferenceTransfer, rows: Rows) -> NDArray[np.float64]:
    """Probability of every row [R]."""
    model.eval()
    result = np.empty(len(rows.label))
    for batch in batches(rows, 512, None):
        result[batch.rows] = _probability(model, rows, batch).cpu().numpy()
    model.train()
    return result
