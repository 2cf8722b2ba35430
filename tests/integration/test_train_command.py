"""`crossrec train` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.errors import ConfigurationError
from services.main import app
from tests.unit.export.rows.synthetic_rows import write_rows

pytestmark = pytest.mark.integration


def run(data: Path, *arguments: str) -> tuple[str, BaseException | None]:
    env = {"CROSSREC_DATA_DIR": str(data), "COLUMNS": "200", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, ["train", *arguments], env=env)
    return result.output, result.exception


def test_each_kind_and_seed_gets_a_run_and_a_version(tmp_path: Path) -> None:
    """Two seeds of one kind are two runs and two versions, listed with their metrics on the test split."""
    write_rows(tmp_path / "made" / "rows", splits=("train", "validation", "test"))
    kinds = ("--model", "popularity", "--seed", "0", "--seed", "1")
    output, error = run(tmp_path, "--data", "made", *kinds, "--epochs", "1")
    assert error is None
    for seed in (0, 1):
        found = json.loads((tmp_path / "made" / "runs" / f"popularity-seed{seed}" / "run.json").read_text())
        assert (seed, 1) == (found["seed"], found["training"]["epochs"])
        assert f"{found['test']['all']['auc']:.4f}" in output
        assert f"popularity/{seed + 1}" in output
        assert (tmp_path / "made" / "registry" / "popularity" / str(seed + 1) / "manifest.json").exists()
    assert "popularity serves popularity/1 to all; `crossrec models promote popularity/2` changes that" in output


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    """With those there are."""
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies" / "dataset.json").write_text("{}")
    _, error = run(tmp_path, "--data", "movie", "--model", "popularity")
    assert isinstance(error, ConfigurationError)
    assert "no data set movie in" in str(error)
    assert "there are movies; the nearest is movies" in str(error)


def test_an_unknown_kind_is_named_before_anything_is_read(tmp_path: Path) -> None:
    """The error lists the kinds."""
    _, error = run(tmp_path, "--data", "made", "--model", "deep")
    assert isinstance(error, ConfigurationError)
    with pytest.raises(ConfigurationError, match="no kind deep; there are popularity, past_count"):
        raise error
