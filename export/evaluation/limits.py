"""What limits a model: facts of the training rows, the test rows and the figures, each with its consequence.

    {"name": what, "found": numbers, "meaning": the consequence and what helps}

Knows the columns of training rows and the structure of metrics.json; findings of the data check are not among them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from export.evaluation.labels import format_signed
from export.rows.reader import read_info

FEW_ROWS, FEW_POSITIVES, FEW_ROWS_OF_SCENARIO = 20_000, 2_000, 1_000
SHORT_DAYS, FEW_ROWS_PER_USER = 14.0, 10
NO_TEXT, COLD = 0.2, 0.2
LEAK_AUC = 0.97
OVERFIT = 0.03
"""Nats by which the log loss of training rows lies below that of the validation rows."""

STABLE, STABLE_OFF_DIAGONAL = 0.9, 0.8
"""Least rank correlations between seeds of transfer weights that can be read, over all and off the diagonal."""
CALIBRATED = 0.03
"""Most ECE of P[j] on the rows of scenario j."""

Limit = dict[str, str]


@dataclass(frozen=True)
class TrainingFacts:
    """Facts of the training rows.

    Args:
        rows: their number.
        positives: those with label 1.
        users: distinct users.
        days: time from the first to the last labelled row of any split.
        without_text: share of the rows whose item has no text.
        scenarios: rows of each scenario that has some.
    """

    rows: int
    positives: int
    users: int
    days: float
    without_text: float
    scenarios: Mapping[str, int]


def read_facts(directory: Path) -> TrainingFacts:
    """Facts of a replay's directory."""
    info = read_info(directory)
    table = pq.read_table(directory / "rows.parquet", columns=["split", "label", "user_id", "target", "text", "time_s"])
    training = table.filter(table["split"].to_numpy() == "train")
    texts = pq.read_table(directory / "texts.parquet")["item_text"].combine_chunks()
    empty = ~texts.flatten().to_numpy(zero_copy_only=False).reshape(len(texts), -1).any(axis=1)
    time_s, target = table["time_s"].to_numpy(), training["target"].to_numpy()
    counts = np.bincount(target, minlength=len(info["sources"]))
    return TrainingFacts(
        rows=len(training),
        positives=int(training["label"].to_numpy().sum()),
        users=len(training["user_id"].unique()),
        days=float(time_s.max() - time_s.min()) / 86400,
        without_text=float(empty[training["text"].to_numpy()].mean()) if len(training) else 0.0,
        scenarios={name: int(n) for name, n in zip(info["sources"], counts, strict=True) if n},
    )


def find_limits(facts: TrainingFacts, figures: Mapping[str, Any]) -> list[Limit]:
    """The limits that there are, the most general first."""
    found = [*_of_amount(facts), *_of_kind(facts), *_of_tests(figures), *_of_models(figures), *_of_weights(figures)]
    return [{"name": name, "found": text, "meaning": meaning} for name, text, meaning in found]


def _of_amount(facts: TrainingFacts) -> Iterator[tuple[str, str, str]]:
    if facts.rows < FEW_ROWS or facts.positives < FEW_POSITIVES:
        text = f"{facts.rows:,} training rows, {facts.positives:,} of them positive"
        yield (
            "Few rows",
            text,
            "Networks have little to learn from: simple models are as good, and more rows help most.",
        )
    if facts.users and facts.rows / facts.users < FEW_ROWS_PER_USER:
        text = f"{facts.rows / facts.users:.1f} training rows per user"
        yield "Short histories", text, "Little is known of most users: popularity and texts carry the ranking."
    if facts.days < SHORT_DAYS:
        text = f"{facts.days:.1f} days from the first to the last labelled row"
        yield "Short time", text, "Longer half-lives cannot be told apart, and weekly patterns not be seen."


def _of_kind(facts: TrainingFacts) -> Iterator[tuple[str, str, str]]:
    if len(facts.scenarios) < 2:
        text = f"all training rows are of {', '.join(facts.scenarios) or 'no scenario'}"
        yield "One scenario", text, "There is nothing to transfer: P/M models are as good as one network, not better."
    few = {name: rows for name, rows in facts.scenarios.items() if rows < FEW_ROWS_OF_SCENARIO}
    if few and len(facts.scenarios) > 1:
        text = ", ".join(f"{name}: {rows:,} rows" for name, rows in few.items())
        yield (
            "Small scenarios",
            text,
            "Their own weights rest on few rows; what they get comes from the other scenarios.",
        )
    if facts.without_text > NO_TEXT:
        text = f"{facts.without_text:.0%} of the training rows are of items without a text"
        yield "No texts", text, "New items of that kind cannot be ranked by what they are: add titles or descriptions."


def _of_tests(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    total = figures["subsets"]["all"]["rows"]
    cold = {name: figures["subsets"][f"cold_{name}"]["rows"] / max(total, 1) for name in ("users", "items")}
    for name, share in cold.items():
        if share > COLD:
            text = f"{share:.0%} of the test rows are of {name} without any event before"
            yield (
                f"Cold {name}",
                text,
                f"See the section on cold start: attributes and texts of {name} are all there is.",
            )
    best = max(figures["models"].values(), key=lambda model: model["test"]["all"]["auc"]["value"] or 0.0, default=None)
    auc = best["test"]["all"]["auc"] if best else {"value": None, "low": None}
    if auc["value"] is not None and auc["value"] > LEAK_AUC:
        text = f"a test AUC of {auc['value']:.4f}"
        yield (
            "Too good",
            text,
            "Real behaviour is seldom that predictable: look for a feature or a sample that leaks the label.",
        )
    if auc["low"] is not None and auc["high"] - auc["low"] > 0.02:
        text = f"the best model's AUC is known to ± {(auc['high'] - auc['low']) / 2:.3f}"
        yield "Few test rows", text, "Smaller differences between models may be chance: trust the paired differences."


def _of_models(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    gaps = {}
    for kind, model in figures["models"].items():
        points = [point for point in (model["training"] or {}).get("curve", []) if point["kept"]]
        known = [point for point in points if None not in (point["train_loss"], point["validation_loss"])]
        if known:
            gaps[kind] = sum(point["validation_loss"] - point["train_loss"] for point in known) / len(known)
    if wide := {kind: gap for kind, gap in gaps.items() if gap > OVERFIT}:
        text = ", ".join(f"{kind} {gap:.3f}" for kind, gap in wide.items())
        meaning = (
            "Validation loss lies this far (nats) above training loss: these models fit rows by heart, see the curves."
        )
        yield "Overfitting", text, meaning


def _of_weights(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Where transfer weights and preferences say more than the rows support."""
    models = {kind: model["transfer"] for kind, model in figures["models"].items() if model.get("transfer")}
    unstable, off, idle = [], [], []
    for kind, transfer in models.items():
        if (stability := transfer["stability"]) and not _is_stable(stability):
            values = [stability[name] for name in ("rank_correlation", "off_diagonal")]
            unstable.append(f"{kind} {format_signed(values[0], 2)}, off the diagonal {format_signed(values[1], 2)}")
        for scenario, found in (transfer["calibration"] or {}).items():
            if (found["ece"]["value"] or 0.0) > CALIBRATED:
                off.append(f"{kind} {scenario} {found['ece']['value']:.3f}")
        if (worth := transfer["worth"]) and worth["of"] and not (worth["rank_correlation"]["low"] or 0.0) > 0:
            values = [worth["rank_correlation"][name] for name in ("value", "low", "high")]
            text = (
                f"{kind} {format_signed(values[0], 2)} ({format_signed(values[1], 2)} to {format_signed(values[2], 2)})"
            )
            idle.append(f"{text} over the {worth['pairs']} of {worth['of']} pairs above noise")
    if unstable:
        text = f"rank correlation of shares between seeds: {'; '.join(unstable)}"
        yield "Unstable weights", text, "Which source counts more depends on the seed: read scores, not these weights."
    if off:
        text = f"ECE of P[j] on the rows of j: {', '.join(off)}"
        yield "Uncalibrated preferences", text, "P[j] of these scenarios orders items, but is no probability."
    if idle:
        text = f"rank correlation of share and worth: {'; '.join(idle)}"
        meaning = (
            "Shares of other scenarios say more than the rows support: a source with a larger share is not known to be "
            "worth more."
        )
        yield "Weights without worth", text, meaning


def _is_stable(stability: Mapping[str, Any]) -> bool:
    """Undefined correlations, as of a single source, are no sign of instability."""
    found = ((stability["rank_correlation"], STABLE), (stability["off_diagonal"], STABLE_OFF_DIAGONAL))
    return all(value is None or value >= least for value, least in found)
