"""Small seeded training rows in Parquet, as a replay writes them."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SOURCES = ["home", "mail", "shelf"]
TENSORS = {
    "scenario": ["text_0", "text_1", "purchase_3600s"],
    "behavior": ["scenario_purchase_3600s", "all_purchase_3600s"],
    "language": ["text_0", "text_1"],
    "item": ["item_engagement_3600s", "item_engagement_86400s", "user_item_known", "user_item_3600s", "price"],
    "item_text": ["text_0", "text_1"],
    "cross": ["item_scenario_engagement_3600s", "user_scenario_item_3600s"],
}
WIDTHS = {name: len(names) for name, names in TENSORS.items()}
ROWS_PER_CONTEXT = 6


def write_rows(
    directory: Path, contexts: int = 120, group_contexts: int = 10, splits: tuple[str, ...] = ("train", "validation")
) -> Path:
    """Rows whose label follows the target scenario's first cross feature and the item's engagement.

    `contexts` contexts of six rows; row groups of `group_contexts`, each at one moment; the splits take equal
    stretches, but "train" twice as long. `home` is never a target.
    """
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    descriptions = random.normal(size=(len(SOURCES), 2))
    stretches = [split for split in splits for _ in range(2 if split == "train" else 1)]
    texts = random.normal(size=(7, 2))
    files: dict[str, pq.ParquetWriter] = {}

    def write(name: str, columns: dict[str, np.ndarray]) -> None:
        table = pa.table({column: _arrow(values) for column, values in columns.items()})
        if name not in files:
            files[name] = pq.ParquetWriter(directory / f"{name}.parquet", table.schema)
        files[name].write_table(table)

    write("texts", {"item_text": texts.astype(np.float32)})
    groups = contexts // group_contexts
    for group in range(groups):
        count = group_contexts * ROWS_PER_CONTEXT
        context = np.repeat(np.arange(group_contexts), ROWS_PER_CONTEXT) + group * group_contexts
        target = random.integers(1, len(SOURCES), count)
        item = np.abs(random.normal(size=(count, WIDTHS["item"])))
        cross = random.normal(size=(count, len(SOURCES), WIDTHS["cross"]))
        truth = 1.5 * cross[np.arange(count), target, 0] + item[:, 1] + item[:, 3] + random.normal(size=count)
        number = group * count + np.arange(count)
        scenario = np.concatenate([descriptions, random.normal(size=(len(SOURCES), 1))], axis=1)
        rows = {
            "request_id": np.array([f"r{c}-{t}" for c, t in zip(context, target, strict=True)]),
            "user_id": np.array([f"u{c % 37}" for c in context]),
            "scenario_id": np.array([SOURCES[t] for t in target]),
            "item_id": np.array([f"i{n % 29}" for n in number]),
            "split": np.repeat(stretches[group * len(stretches) // groups], count),
            "label": (truth > 1.8).astype(np.int8),
            "time_s": np.full(count, 1000.0 * group),
            "target": target.astype(np.int32),
            "context": context.astype(np.int32),
            "text": random.integers(0, len(texts), count).astype(np.int32),
            "item": item.astype(np.float32),
            "cross": cross.astype(np.float32),
        }
        shuffled = random.permutation(count)
        write("rows", {name: values[shuffled] for name, values in rows.items()})
        behavior = random.normal(size=(group_contexts, len(SOURCES), WIDTHS["behavior"])).astype(np.float32)
        language = random.normal(size=(group_contexts, len(SOURCES), 2)).astype(np.float32)
        moments = np.full(group_contexts, group, np.int32)
        write("contexts", {"moment": moments, "behavior": behavior, "language": language})
        write("moments", {"time_s": np.array([1000.0 * group]), "scenario": scenario.astype(np.float32)[None]})
    for file in files.values():
        file.close()
    info = {
        "format": 1,
        "schema_fingerprint": 1,
        "encoder_fingerprint": 2,
        "sources": SOURCES,
        "tensors": TENSORS,
        "features": {},
        "counts": {"rows": contexts * ROWS_PER_CONTEXT, "contexts": contexts, "moments": groups, "texts": len(texts)},
        "data": {},
    }
    (directory / "training_rows.json").write_text(json.dumps(info))
    return directory


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))
