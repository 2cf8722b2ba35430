"""Runs the fits of experiments on replayed training rows.

Knows rows, training and scoring; knows nothing of the single experiments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.evaluation.metrics import auc, ndcg_at
from export.experiments.fits import SHARES, ExperimentError, Fit, Measures
from export.models.kinds import config_of, kinds_with_transfer, load_kind
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.train import ScoredRows, fit, score_rows
from export.training.transfer import transfer_summary
from services.features.population import shares

STEPS, LEAST_BATCH, MOST_EPOCHS = 300, 128, 40
"""A fit makes at least STEPS steps: with few rows, by smaller batches and more epochs within the other two bounds."""


class RowsTrainer:
    """Trains and measures fits; a `Trainer`.

    Args:
        directory: training rows of a replay.
        epochs: most passes over the training rows.
        device: torch device.
    """

    def __init__(self, directory: Path, epochs: int, device: str) -> None:
        self._directory, self._epochs, self._device = directory, epochs, device
        everything = {split: RowSource(directory, split) for split in ("train", "validation", "test")}
        self.info: dict[str, Any] = everything["train"].info
        self.tensors: Mapping[str, Sequence[str]] = everything["train"].tensors
        self.sources = everything["train"].sources
        self.training_targets = self._targets_with_rows(everything["train"])
        self.test_targets = self._targets_with_rows(everything["test"])
        if not self.test_targets or not self.training_targets:
            raise ExperimentError(f"{directory}: experiments need rows of the splits train and test")
        self._sizes = {split: len(source) for split, source in everything.items()}
        self._columns = {s: source.columns("label", "target", "request_id") for s, source in everything.items()}

    def _targets_with_rows(self, source: RowSource) -> list[str]:
        return [name for name, rows in zip(self.sources, source.rows_per_target, strict=True) if rows]

    def select_targets(self, targets: Sequence[str] | None) -> list[str]:
        """The given targets, or all that have training and test rows; ExperimentError names a target without them."""
        usable = [target for target in self.training_targets if target in self.test_targets]
        if unknown := [target for target in targets or () if target not in usable]:
            raise ExperimentError(
                f"target: no training and test rows of {', '.join(unknown)}; choose {', '.join(usable)}"
            )
        return list(targets or usable)

    def require_transfer(self, kind: str) -> None:
        """ExperimentError if models of the kind have no transfer weights."""
        if not load_kind(kind).has_transfer:
            raise ExperimentError(f"model: {kind} has no transfer weights; choose {' or '.join(kinds_with_transfer())}")

    def row_passes(self, fit: Fit) -> int:
        """Training and validation rows per epoch, then both scored splits."""
        rows, scored = self._rows(fit.selection), self._sizes["validation"]
        epochs = self._choices(rows)["epochs"]
        return epochs * (rows + scored) + scored + self._sizes["test"] * (1 + len(fit.removed))

    def measure(self, fit_: Fit) -> Measures:
        """Train and score; empty without training rows."""
        if not (rows := self._rows(fit_.selection)):
            return {}
        overrides = {**self._choices(rows), "seed": fit_.seed, "device": self._device}
        config = config_of(fit_.kind, overrides)
        model, _ = fit(self._directory, fit_.kind, config, fit_.selection)
        selections = {split: (split, fit_.selection) for split in ("validation", "test")}
        for source in fit_.removed:
            selections[f"without {source}"] = ("test", replace(fit_.selection, dropped_sources=frozenset({source})))
        measures = {
            name: self._split_measures(split, score_rows(model, RowSource(self._directory, split, selection)))
            for name, (split, selection) in selections.items()
        }
        if isinstance(model, PreferenceTransfer):
            measures[SHARES] = self._shares(model, fit_.selection)
        return {name: of_split for name, of_split in measures.items() if of_split}

    def _shares(self, model: PreferenceTransfer, selection: Selection) -> dict[str, dict[str, float]]:
        """Share of each source's weight in each target's mean weights over the test contexts."""
        summary = transfer_summary(model, RowSource(self._directory, "test", selection))
        share = shares(np.array(summary["mean"])).round(6).tolist()
        return {
            target: dict(zip(self.sources, line, strict=True)) for target, line in zip(self.sources, share, strict=True)
        }

    def _rows(self, selection: Selection) -> int:
        return len(RowSource(self._directory, "train", selection))

    def _choices(self, rows: int) -> dict[str, int]:
        """Batch size, epochs and patience of a fit on a number of rows."""
        most = config_of("neural").batch_rows
        batch_rows = min(most, max(LEAST_BATCH, rows * self._epochs // STEPS))
        epochs = max(self._epochs, min(MOST_EPOCHS, -(-STEPS * LEAST_BATCH // max(rows, 1))))
        return {"epochs": epochs, "batch_rows": batch_rows, "patience": max(2, epochs // 4)}

    def _split_measures(self, split: str, scored: ScoredRows) -> dict[str, dict[str, float]]:
        """AUC and NDCG@10 over all rows and per target; empty without rows."""
        if not len(scored.row):
            return {}
        columns = self._columns[split]
        masks = {"all": np.ones(len(scored.row), bool)}
        masks |= {name: columns["target"] == self.sources.index(name) for name in self.sources}
        return {
            name: {
                "auc": auc(scored.label[mask], scored.probability[mask]),
                "ndcg_at_10": ndcg_at(10, scored.label[mask], scored.probability[mask], columns["request_id"][mask]),
            }
            for name, mask in masks.items()
            if mask.any()
        }
