"""Training rows streamed from Parquet."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.rows.reader import RowSource, TrainingRowsError
from export.rows.selection import Selection, SelectionError
from tests.unit.export.rows.synthetic_rows import SOURCES, TENSORS, write_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


def column(directory: Path, name: str) -> np.ndarray:
    return pq.read_table(directory / "rows.parquet", columns=[name]).column(0).to_numpy()


def lists(directory: Path, file: str, name: str, *shape: int) -> np.ndarray:
    values = pq.read_table(directory / f"{file}.parquet", columns=[name]).column(0).combine_chunks()
    return values.flatten().to_numpy().reshape(-1, *shape)


@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_every_row_of_the_split_is_read_once_with_its_tensors(directory: Path, shuffled: bool) -> None:
    """A batch's arrays are those of its global row numbers in the files, whatever the order."""
    source = RowSource(directory, "train", batch_rows=20, buffer_rows=150)
    batches = list(source.batches(np.random.default_rng(0) if shuffled else None))
    rows = np.concatenate([batch.row for batch in batches])
    assert np.flatnonzero(column(directory, "split") == "train").tolist() == sorted(rows.tolist())
    moment = pq.read_table(directory / "contexts.parquet").column("moment").to_numpy()
    for batch in batches:
        context = batch.context[batch.row_context]
        np.testing.assert_array_equal(column(directory, "context")[batch.row], context)
        for name in ("label", "target", "text"):
            np.testing.assert_array_equal(column(directory, name)[batch.row], getattr(batch, name))
        np.testing.assert_array_equal(lists(directory, "rows", "cross", 3, 2)[batch.row], batch.cross)
        np.testing.assert_array_equal(lists(directory, "rows", "item", 5)[batch.row], batch.item)
        np.testing.assert_array_equal(lists(directory, "contexts", "behavior", 3, 2)[batch.context], batch.behavior)
        np.testing.assert_array_equal(lists(directory, "contexts", "language", 3, 2)[batch.context], batch.language)
        scenario = lists(directory, "moments", "scenario", 3, 3)[moment[batch.context]]
        np.testing.assert_array_equal(scenario, batch.scenario)
        np.testing.assert_array_equal(column(directory, "time_s")[batch.row], batch.time_s[batch.row_context])
        np.testing.assert_array_equal(lists(directory, "texts", "item_text", 2)[batch.text], batch.item_text)


def test_batches_are_whole_contexts_of_mixed_times_and_scenarios(directory: Path) -> None:
    """A context's rows stay together; a shuffled batch holds several moments and several targets."""
    source = RowSource(directory, "train", batch_rows=60, buffer_rows=10_000)
    batches = list(source.batches(np.random.default_rng(0)))
    assert len(batches) == 8
    for batch in batches:
        assert {6} == set(np.bincount(batch.row_context).tolist())
        assert len(set(batch.time_s.tolist())) > 2
        assert {1, 2} == set(batch.target.tolist())


def test_order_depends_on_the_generator_alone(directory: Path) -> None:
    """The same seed gives the same batches, another seed others; without a generator rows are in order."""

    def order(generator: np.random.Generator | None) -> list[int]:
        source = RowSource(directory, "train", batch_rows=30, buffer_rows=100)
        return np.concatenate([batch.context for batch in source.batches(generator)]).tolist()

    assert order(np.random.default_rng(1)) == order(np.random.default_rng(1)) != order(np.random.default_rng(2))
    assert sorted(order(None)) == order(None)


def test_memory_is_bounded_by_the_buffer(directory: Path) -> None:
    """No more rows are joined at once than the buffer and one row group."""
    source = RowSource(directory, "train", buffer_rows=100)
    sizes = [len(buffer) for buffer in source._buffers(source.groups, 100)]
    assert [120, 120, 120, 120] == sizes


def test_shares_are_nested_and_keep_whole_contexts(directory: Path) -> None:
    """A smaller share of a target's rows lies within a larger one; other targets and splits keep all."""

    def rows(split: str, share: float) -> set[int]:
        source = RowSource(directory, split, Selection(target_share={"mail": share}, seed=3))
        return set(source.columns("label")["row"].tolist())

    target, everything = column(directory, "target"), rows("train", 1.0)
    some, more, none = rows("train", 0.2), rows("train", 0.5), rows("train", 0.0)
    assert none < some < more < everything
    assert {row for row in everything if target[row] == 2} == {row for row in some if target[row] == 2}
    assert not any(target[row] == 1 for row in none)
    assert rows("validation", 0.0) == rows("validation", 1.0)


def test_user_share_keeps_whole_users(directory: Path) -> None:
    """Half the users keep all their training rows."""
    kept = RowSource(directory, "train", Selection(user_share=0.5)).columns("user_id")
    everyone = RowSource(directory, "train").columns("user_id")
    users = set(kept["user_id"].tolist())
    assert 0 < len(users) < len(set(everyone["user_id"].tolist()))
    assert np.isin(everyone["user_id"].astype(str), list(users)).sum() == len(kept["row"])


def test_dropped_features_are_constant_in_every_split(directory: Path) -> None:
    """A dropped feature is 0 everywhere, the others are as they were; a dropped source weighs 0."""
    selection = Selection(dropped_features=frozenset({"cross/user_scenario_item_3600s", "item_text/text_0"}))
    dropped = next(RowSource(directory, "validation", selection).batches())
    whole = next(RowSource(directory, "validation").batches())
    assert not dropped.cross[..., 1].any()
    assert not dropped.item_text[:, 0].any()
    np.testing.assert_array_equal(whole.cross[..., 0], dropped.cross[..., 0])
    np.testing.assert_array_equal(whole.item_text[:, 1], dropped.item_text[:, 1])
    mailless = next(RowSource(directory, "validation", Selection(dropped_sources=frozenset({"mail"}))).batches())
    assert [1.0, 0.0, 1.0] == mailless.weight_of_source.tolist()


def test_parts_share_the_rows(directory: Path) -> None:
    """Two processes take disjoint row groups that make up the split."""
    parts = [set(RowSource(directory, "train", part=(k, 2)).columns("label")["row"].tolist()) for k in range(2)]
    assert not parts[0] & parts[1]
    assert set(RowSource(directory, "train").columns("label")["row"].tolist()) == parts[0] | parts[1]


def test_rows_are_counted_per_target(directory: Path) -> None:
    """Length and counts per target are those of the column."""
    source = RowSource(directory, "validation")
    mask = column(directory, "split") == "validation"
    assert np.bincount(column(directory, "target")[mask], minlength=3).tolist() == source.rows_per_target.tolist()
    assert mask.sum() == len(source)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(target_share={"tv": 0.5}), "target_share: no scenario tv; there are home, mail, shelf"),
        (Selection(dropped_sources=frozenset({"tv"})), "dropped_sources: no scenario tv"),
        (Selection(dropped_sources=frozenset(SOURCES)), "dropped_sources: no source scenario is left"),
        (Selection(dropped_features=frozenset({"item/x"})), "dropped_features: the rows have no item/x"),
        (Selection(user_share=1.5), "user_share: share 1.5 is not between 0 and 1"),
    ],
)
def test_wrong_selections_are_named(directory: Path, selection: Selection, message: str) -> None:
    """A selection that does not exist or is out of range is an error, not an experiment without effect."""
    with pytest.raises(SelectionError, match=message):
        RowSource(directory, "train", selection)


def test_missing_and_empty_rows_are_errors(tmp_path: Path) -> None:
    """Missing rows, and rows without a label, cannot be trained on."""
    with pytest.raises(TrainingRowsError, match="run `crossrec replay`"):
        RowSource(tmp_path, "train")
    info = {"counts": {"rows": 0}, "sources": SOURCES, "tensors": TENSORS}
    (tmp_path / "training_rows.json").write_text(json.dumps(info))
    with pytest.raises(TrainingRowsError, match="no event has a label"):
        RowSource(tmp_path, "train")
