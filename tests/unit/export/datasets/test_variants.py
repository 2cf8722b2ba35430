"""Users' own data in its variants: with and without prices, texts or impressions, few users or many, both formats."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.check.data_check import check_data
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.datasets.tables import SPLITS
from export.replay import pipeline
from export.rows.reader import RowSource
from export.text_encoder.sentence_encoders import AUTO
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.settings.training import DatasetSettings
from services.text.protocol import HashingEncoder

T0 = 1_750_000_000_000
MINUTE = 60_000
Rows = list[dict[str, Any]]


def items(*left_out: str) -> Rows:
    whole = [
        {"item_id": f"i{n}", "time": T0 - MINUTE, "title": f"Film {n}", "description": "A film.",
         "categories": ["film", ("drama", "comedy")[n % 2]], "price": 1.0 + n}
        for n in range(12)
    ]  # fmt: skip
    there = {"item_id": "i0", "scenario_id": "tv", "time": T0 - MINUTE, "attributes": {"banner": 1.0}}
    return [{name: value for name, value in row.items() if name not in left_out} for row in [*whole, there]]


def scenarios(*names: str) -> Rows:
    return [{"scenario_id": s, "time": T0 - MINUTE, "name": s, "description": f"On the {s}."} for s in names]


def acted(kind: str, users: int, where: tuple[str, ...] = ("tv", "phone"), times: int = 6) -> Rows:
    """Each user engages with items of one parity, or rates these high and others low."""
    rows = []
    for n in range(users * times):
        user, visit = n % users, n // users
        item = (user % 2 + 2 * visit) % 12 if kind != "rating" else (user + visit) % 12
        row = {"user_id": f"u{user}", "scenario_id": where[visit % len(where)], "item_id": f"i{item}", "type": kind,
               "time": T0 + n * 10 * MINUTE}  # fmt: skip
        rows.append({**row, "value": 2.0 + 2.5 * (item % 2 == user % 2)} if kind == "rating" else row)
    return rows


def impressions(users: int, where: tuple[str, ...] = ("tv", "phone")) -> Rows:
    """An impression of each clicked item, and of an item of the other parity."""
    rows = []
    for click in acted("click", users, where):
        other = {**click, "item_id": f"i{(int(click['item_id'][1:]) + 1) % 12}"}
        rows += [{**row, "type": "impression", "time": click["time"] - 5000} for row in (click, other)]
        rows.append(click)
    return rows


@dataclass(frozen=True)
class Variant:
    """One kind of data, the settings it needs, and how many labelled rows they make."""

    events: Rows
    settings: dict[str, Any] = field(default_factory=lambda: {"label_events": ("click",), "label_window_s": 60.0})
    items: Rows = field(default_factory=items)
    scenarios: Rows = field(default_factory=lambda: scenarios("tv", "phone"))
    labelled: int = 142
    notes: tuple[str, ...] = ()


SAMPLED = {"negatives": "sampled", "negatives_per_positive": 2}
RATED = {"label_events": ("rating",), "rating_threshold": 4.0}
VARIANTS = {
    "impressions": Variant(impressions(12)),
    "no prices": Variant(impressions(12), items=items("price"), notes=("items without price",)),
    "no categories": Variant(impressions(12), items=items("categories"), notes=("items without categories",)),
    "no text": Variant(impressions(12), items=items("title", "description"), notes=("items without text",)),
    "nothing but events": Variant(impressions(12), items=[], scenarios=[], notes=("scenarios without description",)),
    "one scenario": Variant(
        impressions(12, ("tv",)), scenarios=scenarios("tv"), notes=("users in one scenario only",)
    ),
    "ratings": Variant(acted("rating", 12), RATED, labelled=72),
    "ratings by user": Variant(acted("rating", 20, times=3), {**RATED, "split": "user"}, labelled=60),
    "purchases": Variant(acted("purchase", 12), {"label_events": ("purchase",), **SAMPLED}, labelled=216),
    "popular negatives": Variant(
        acted("click", 12), {"label_events": ("click",), **SAMPLED, "negative_sampling": "popularity"}, labelled=216
    ),
}  # fmt: skip


def put_json(path: Path, rows: Rows) -> None:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def put_parquet(path: Path, rows: Rows) -> None:
    if rows:
        names = dict.fromkeys(name for row in rows for name in row)
        pq.write_table(
            pa.table({name: [row.get(name) for row in rows] for name in names}), path.with_suffix(".parquet")
        )


def imported(directory: Path, variant: Variant, put: Callable[[Path, Rows], None] = put_json) -> DatasetReader:
    source = directory / "source"
    source.mkdir()
    for name, rows in (("events", variant.events), ("items", variant.items), ("scenarios", variant.scenarios)):
        put(source / name, rows)
    settings = DatasetSettings(**variant.settings)
    import_dataset("jsonl", directory / "data", source=source, settings=settings)
    return DatasetReader(directory / "data")


@pytest.mark.parametrize("put", [put_json, put_parquet])
@pytest.mark.parametrize("name", VARIANTS)
def test_imports_checks_and_replays(
    name: str, put: Callable[[Path, Rows], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every variant gives finite training rows of both classes, and a check without errors that reports sparse data."""
    monkeypatch.setattr(pipeline, "open_encoder", lambda *_: HashingEncoder())
    variant = VARIANTS[name]
    reader = imported(tmp_path, variant, put)
    settings = Settings(store=StoreSettings(offline_dir=tmp_path / "offline"))
    report = check_data(reader, settings.features, 60.0, T0 + 10_000 * MINUTE, AUTO, None)
    assert [] == [finding for finding in report.findings if finding.level == "error"]
    levels = {finding.name: finding.level for finding in report.findings}
    assert set() == {note for note in variant.notes if levels[note] == "ok"}
    pipeline.replay_rows(settings, reader, tmp_path / "rows", 0.0)
    sources = {split: RowSource(tmp_path / "rows", split) for split in SPLITS}
    assert variant.labelled == report.tables["labelled"] == sum(len(source) for source in sources.values())
    batches = {split: list(source.batches()) for split, source in sources.items()}
    assert {0, 1} == {label for batch in batches["train"] for label in batch.label.tolist()}
    for batch in (batch for found in batches.values() for batch in found):
        for tensor in (batch.item, batch.cross, batch.behavior, batch.language, batch.scenario, batch.item_text):
            assert np.isfinite(tensor).all()


def test_a_row_has_no_feature_of_the_event_that_labels_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a user's first purchase has no history of the user, nor of the purchase itself."""
    monkeypatch.setattr(pipeline, "open_encoder", lambda *_: HashingEncoder())
    settings = Settings(store=StoreSettings(offline_dir=tmp_path / "offline"))
    reader = imported(tmp_path, VARIANTS["purchases"])
    pipeline.replay_rows(settings, reader, tmp_path / "rows", 0.0)
    sources = [RowSource(tmp_path / "rows", split) for split in SPLITS]
    columns = [source.columns("user_id", "time_s") for source in sources]
    user, time_s, row = (np.concatenate([part[name] for part in columns]) for name in ("user_id", "time_s", "row"))
    first = {name: time_s[user == name].min() for name in np.unique(user)}
    begun = set(row[[at == first[name] for name, at in zip(user, time_s, strict=True)]].tolist())
    assert 36 == len(begun)
    known = {
        number: float(np.abs(batch.language[place]).max())
        for source in sources
        for batch in source.batches()
        for number, place in zip(batch.row.tolist(), batch.row_context.tolist(), strict=True)
    }
    assert {0.0} == {known[number] for number in begun}
    assert 0 < max(size for number, size in known.items() if number not in begun)


def test_more_users(tmp_path: Path) -> None:
    """A thousand users with ten purchases each import and check without a finding about size."""
    variant = Variant(acted("purchase", 1000, times=10), {"label_events": ("purchase",), **SAMPLED})
    report = check_data(imported(tmp_path, variant), Settings().features, 60.0, T0 + 1_000_000 * MINUTE, AUTO, None)
    assert {"events": 40_000, "labelled": 30_000, "users": 1000, "items": 12, "scenarios": 2} == report.tables
    assert ["ok"] * 2 == [f.level for f in report.findings if f.name in ("labels", "share of positives")]


def test_a_replay_of_few_users_puts_all_of_them_into_the_offline_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of three users is nobody, and get_historical_features would have nothing for anyone."""
    monkeypatch.setattr(pipeline, "open_encoder", lambda *_: HashingEncoder())
    settings = Settings(store=StoreSettings(offline_dir=tmp_path / "offline"))
    reader = imported(tmp_path, VARIANTS["purchases"])
    users = set(reader.table("events")["user_id"].to_pylist())
    monkeypatch.setattr(pipeline, "MIN_OFFLINE_USERS", len(users))
    assert (len(users), len(users)) == pipeline.replay_rows(settings, reader, tmp_path / "rows", 0.001)
    assert users == set(pq.read_table(tmp_path / "offline" / "user.parquet")["user_id"].to_pylist())
    assert (0, len(users)) == pipeline.replay_rows(settings, reader, tmp_path / "rows", 0.0)


@pytest.mark.parametrize(
    ("users", "asked", "share"),
    [(3, 0.1, 1.0), (10, 0.1, 1.0), (50, 0.1, 0.2), (500, 0.02, 0.02), (10**6, 0.1, 0.1), (3, 0.0, 0.0), (0, 0.1, 1.0)],
)
def test_the_offline_source_has_about_ten_users_at_least(users: int, asked: float, share: float) -> None:
    assert share == pipeline.offline_share(users, asked)
