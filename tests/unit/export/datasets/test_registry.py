"""Adapters by name, and the import command."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from export.datasets.cli import import_command
from export.datasets.errors import DatasetError
from export.datasets.registry import ADAPTERS, import_dataset
from tests.unit.export.datasets.conftest import Grocery

AISLE = [(p, 10, "7", "0", 3) for p in (1, 2, 3, 4, 5, 9)]
SALE = (1, 10, 1, 1, 3, "2017-01-10T09:00:00")


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(import_command)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})
    return result.exit_code, result.output


def test_an_unknown_adapter_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    """And the nearest one; for what is a file or directory, how to begin with it."""
    with pytest.raises(DatasetError, match=r"nothing to import is called 'cvs'; .* one of .*: did you mean csv\?"):
        import_dataset("cvs", tmp_path)
    with pytest.raises(DatasetError, match=rf"is called '{tmp_path}'; .*: did you mean crossrec data start {tmp_path}"):
        import_dataset(str(tmp_path), tmp_path)


def test_an_option_of_another_adapter_is_rejected(tmp_path: Path) -> None:
    """It is not silently ignored."""
    with pytest.raises(DatasetError, match="jsonl has no option households; it takes events, items,"):
        import_dataset("jsonl", tmp_path, households=5)


def test_adapters_are_registered_by_their_name() -> None:
    """The key is the name."""
    assert list(ADAPTERS) == [adapter.name for adapter in ADAPTERS.values()]


def test_summary_and_dataset_json_agree(grocery: Grocery, tmp_path: Path) -> None:
    """An import reports what it wrote, and dataset.json keeps adapter, arguments, rows, range, source, notes."""
    steps: list[str] = []
    out = tmp_path / "out"
    summary = import_dataset("completejourney", out, report=steps.append, source=grocery([SALE], AISLE), seed=3)
    info = json.loads((out / "dataset.json").read_text())
    assert {"events": 41, "items": 19, "scenarios": 6} == summary.rows == info["rows"]
    assert summary.events == info["events"]
    assert ("completejourney", 3) == (info["adapter"], info["arguments"]["seed"])
    assert {"first": "2017-01-03T12:00:00+00:00", "last": "2017-01-10T09:00:00+00:00"} == info["time_range"]
    assert "simulated data" in info["source"]["notice"]
    assert "MIT" in info["source"]["licence"]
    candidates = [row for row in summary.events if row["type"] == "impression"]
    assert [{"type": "impression", "split": "train", "scenario_id": "s2", "rows": 5, "positives": 1}] == candidates
    assert 4 == len(steps)


def test_command_writes_and_shows_a_table(grocery: Grocery, tmp_path: Path) -> None:
    """The command prints rows by type, split and scenario."""
    source = grocery([SALE], AISLE)
    code, output = run("completejourney", "--source", str(source), "--out", str(tmp_path / "out"))
    assert 0 == code, output
    assert "impression" in output
    assert "20.0%" in output
    assert "41 events, 19 items, 6 scenarios from 2017-01-03 to 2017-01-10" in output


def test_command_shows_errors_without_a_traceback(tmp_path: Path) -> None:
    """Bad data ends with status 1 and the list of problems; nothing is written."""
    (tmp_path / "events.jsonl").write_text('{"user_id": "u"}\n')
    code, output = run("jsonl", "--source", str(tmp_path), "--out", str(tmp_path / "out"))
    assert 1 == code
    assert "events.jsonl:1, column type: is missing" in output
    assert not (tmp_path / "out").exists()


def test_an_import_of_nothing_says_how_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name, the files of the settings are read; here there are none."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    code, output = run()
    assert 1 == code
    assert "the settings list no files in [source]: make them with `crossrec data start FILE...`" in output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("csv", "--map", "user_id"), "--map user_id: expected --map COLUMN=VALUE"),
        (("csv", "--time-zone", "Mars/Base"), "--time-zone: is no time zone; expected a name like UTC"),
        (("completejourney", "--set", "type=click"), "completejourney takes neither --map nor --set nor --time-zone"),
    ],
)
def test_flags_of_own_files_are_checked(arguments: tuple[str, ...], problem: str) -> None:
    code, output = run(*arguments)
    assert (1, True) == (code, problem in output)
