"""Small synthetic rows, runs and results for the evaluation's tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.evaluation.measure import GroupedRows

SOURCES = ["regular", "home", "search"]
TENSORS = {"item": ["item_engagement_1s", "item_impression_1s", "price"], "behavior": ["all_click_1s", "all_age_days"]}


def grouped(seed: int = 0, users: int = 12, per_user: int = 20) -> tuple[GroupedRows, np.ndarray]:
    """Rows of users with two requests each, and probabilities without ties."""
    generator = np.random.default_rng(seed)
    rows = users * per_user
    user = np.repeat(np.arange(users), per_user)
    request = user * 2 + np.tile(np.arange(per_user) % 2, users)
    label = generator.integers(0, 2, rows)
    vectors = generator.normal(size=(7, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    item, text = generator.integers(0, 50, rows), generator.integers(0, 7, rows)
    probability = 0.005 + 0.2 * label + 0.79 * generator.permutation(rows) / rows
    return GroupedRows(label, user, request, item, text, vectors, users), probability


def write_dataset(directory: Path, kinds: dict[str, bool], seeds: int = 2, sampling: tuple[str, ...] = ("",)) -> Path:
    """A data set of 240 rows with a run per kind and seed; kinds map to whether they have transfer weights.

    `sampling` are the kinds of negatives, in turn.
    """
    rows, probability = grouped()
    count, generator = len(rows.label), np.random.default_rng(1)
    split = np.where(np.arange(count) % 20 < 8, "validation", "test")
    split[:20] = "train"
    cold = np.arange(count) % 20 == 19
    items = np.stack([~cold * 1.0, ~cold * 0.5, np.ones(count)], axis=1).astype(np.float32)
    (directory / "rows").mkdir(parents=True)
    info = {"sources": SOURCES, "tensors": TENSORS, "counts": {"rows": count}, "schema_fingerprint": 7}
    info["data"] = {"text_encoder": {"name": "e5", "languages": "many", "reason": "the texts are Chinese"}}
    (directory / "rows" / "training_rows.json").write_text(json.dumps(info))
    columns = {
        "request_id": pa.array([f"r{r}" for r in rows.request]),
        "user_id": pa.array([f"u{u}" for u in rows.user]),
        "item_id": pa.array([f"i{i}" for i in rows.item]),
        "split": pa.array(split.tolist()),
        "label": pa.array(rows.label.astype(np.int8)),
        "sampling": pa.array(
            ["" if positive else sampling[n % len(sampling)] for n, positive in enumerate(rows.label)]
        ),
        "target": pa.array((1 + rows.request % 2).astype(np.int32)),
        "context": pa.array(rows.user.astype(np.int32)),
        "text": pa.array(rows.text.astype(np.int32)),
        "time_s": pa.array(3600.0 * np.arange(count)),
        "item": pa.FixedSizeListArray.from_arrays(pa.array(items.reshape(-1)), 3),
    }
    pq.write_table(pa.table(columns), directory / "rows" / "rows.parquet")
    history = np.ones((rows.users, 3, 2), np.float32)
    behavior = pa.FixedSizeListArray.from_arrays(pa.array(history.reshape(-1)), 6)
    pq.write_table(pa.table({"behavior": behavior}), directory / "rows" / "contexts.parquet")
    text = pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.astype(np.float32).reshape(-1)), 4)
    pq.write_table(pa.table({"item_text": text}), directory / "rows" / "texts.parquet")
    notes = {"notes": ["<Made> for a test."], "source": {"notice": "Simulated."}}
    (directory / "dataset.json").write_text(json.dumps(notes))
    for kind, transfers in kinds.items():
        for seed in range(seeds):
            shifted = np.clip(probability + generator.normal(0, 0.05, count), 0.001, 0.999)
            write_run(directory / "runs" / f"{kind}-seed{seed}", kind, seed, split, shifted, transfers=transfers)
    return directory


def write_run(out: Path, kind: str, seed: int, split: np.ndarray, probability: np.ndarray, *, transfers: bool) -> None:
    """A run directory as training writes it."""
    out.mkdir(parents=True)
    row = np.flatnonzero(split != "train")
    columns = {"row": row, "split": split[row].tolist(), "probability": probability[row].astype(np.float32)}
    pq.write_table(pa.table(columns), out / "predictions.parquet")
    if transfers:
        weights = (0.3 + 0.1 * seed + 0.2 * np.eye(3)).tolist()
        (out / "transfer.json").write_text(json.dumps({"sources": SOURCES, "mean": weights, "sd": weights}))
        test = np.flatnonzero(split == "test")
        own, without = probability[test], np.tile(probability[test, None], 3)
        without[:, 0] = 0.5 * without[:, 0]
        parts = pa.FixedSizeListArray.from_arrays(pa.array(without.reshape(-1).astype(np.float32)), 3)
        table = pa.table({"row": test, "own": own.astype(np.float32), "without": parts})
        pq.write_table(table, out / "sources.parquet")
    rows = {"schema_fingerprint": 7, "counts": {"rows": len(split)}}
    curve = [(1, 0.6, 0.7, 3, 0.62), (2, 0.4, 0.8, 6, 0.5), (3, 0.2, 0.75, 9, 0.7)]
    names = ("number", "train_loss", "validation_auc", "steps", "validation_loss")
    training = {
        "epochs": [dict(zip(names, point, strict=True)) for point in curve],
        "choices": [{"name": "batch_rows", "value": "128", "reason": "<few> rows"}],
    }
    (out / "run.json").write_text(json.dumps({"kind": kind, "seed": seed, "rows": rows, **training}))


def experiments() -> dict[str, dict[str, Any]]:
    """Every experiment, as its command writes it."""
    ablation = [
        {"arm": "full", "group": "", "auc": 0.8, "ndcg_at_10": 0.7, "auc_change": 0.0, "seeds": [0.8]},
        {"arm": "without", "group": "price", "auc": 0.78, "ndcg_at_10": 0.7, "auc_change": -0.02, "seeds": [0.78]},
        {"arm": "without", "group": "text", "auc": 0.8, "ndcg_at_10": 0.7, "auc_change": 0.0, "seeds": [0.8]},
    ]
    values = {"joint": 0.8, "alone": 0.7, "pooled": 0.8}
    scarcity = [
        {"target": "home", "fraction": fraction, "arm": arm, "auc": value, "seeds": [value - 0.001, value + 0.001]}
        for arm, value in values.items()
        for fraction in (0.0, 0.01, 1.0)
        if fraction or arm != "alone"
    ]
    removed = [{"target": t, "removed": s, "auc_change": -0.01} for t in ("all", "home") for s in SOURCES]
    return {
        "ablation": {"rows": ablation},
        "scarcity": {"rows": scarcity},
        "sources": {"rows": removed},
        "recogniser": {
            "scenarios": ["home", "search"],
            "confusion": [[8, 2], [1, 9]],
            **{"accuracy": 0.85, "macro_f1": 0.85, "log_loss": 0.4, "ece": 0.03},
            "baselines": {"majority": {"accuracy": 0.5, "macro_f1": 0.33, "log_loss": 0.69, "ece": 0.0}},
        },
    }
