"""The template: a data set that works unchanged, is documented, and never overwrites a user's files."""

import json
from pathlib import Path

import pytest

from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl
from export.datasets.tables import TABLES, USERS
from export.datasets.template import write_template
from services.settings.load import load_settings


def test_template_loads_under_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lines of events and items; every split gets one positive in two; attributes are declared."""
    write_template(tmp_path / "mine")
    monkeypatch.setenv("CROSSREC_CONFIG", str(tmp_path / "mine" / "crossrec.toml"))
    settings = load_settings()
    dataset = load_jsonl(source=tmp_path / "mine", settings=settings.dataset)
    assert (20, 20, 3) == (len(dataset.events), len(dataset.items), len(dataset.scenarios))
    labelled = [row for row in dataset.events.to_pylist() if row["label"] is not None]
    for split, rows in (("train", 8), ("validation", 2), ("test", 2)):
        labels = [row["label"] for row in labelled if row["split"] == split]
        assert (rows, rows // 2) == (len(labels), sum(labels))
    assert {"minutes", "banner", "age", "job", "likes"} == {
        attribute.name for attribute in settings.features.attributes
    }


def test_template_documents_every_column(tmp_path: Path) -> None:
    """Its README has the columns of all tables, as the code defines them."""
    write_template(tmp_path)
    guide = (tmp_path / "README.md").read_text()
    for spec in (*TABLES, USERS):
        for column in spec.columns:
            assert f"| {column.name} | {column.type} |" in guide


def test_own_files_are_not_overwritten(tmp_path: Path) -> None:
    """A directory that has one of the files stays unchanged."""
    (tmp_path / "events.jsonl").write_text(json.dumps({"mine": 1}))
    with pytest.raises(DatasetError, match=r"contains events\.jsonl; choose a new directory"):
        write_template(tmp_path)
    assert ["events.jsonl"] == [path.name for path in tmp_path.iterdir()]
