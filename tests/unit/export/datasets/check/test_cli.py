"""`crossrec data check` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.datasets.check.cli import data_app, draw_sparkline
from export.datasets.registry import import_dataset

T0 = 1_767_225_600_000
HOUR = 3_600_000


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty requests of two impressions, the first of them clicked, and settings of the test's own."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    monkeypatch.setenv("CROSSREC_DATA_DIR", str(tmp_path / "data"))
    rows = []
    for n in range(40):
        for item, label in (("a", 1), ("b", 0)):
            row = {"user_id": f"u{n % 4}", "scenario_id": "tv", "item_id": item, "time": T0 + n * HOUR}
            rows.append({**row, "type": "impression", "label": label, "request_id": f"r{n}"})
            if label:
                rows.append({**row, "type": "click", "time": row["time"] + 1})
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(data_app, ["check", *arguments], env={"COLUMNS": "160", "NO_COLOR": "1"})
    return result.exit_code, result.output


def test_files_are_checked_before_any_import(source: Path, tmp_path: Path) -> None:
    """Counts, days, findings worst first; the report goes to a file too; nothing is imported."""
    code, output = run("--dir", str(source), "--json", str(tmp_path / "deep" / "report.json"))
    assert 0 == code, output
    assert "120 events, 80 labelled, 4 users, 2 items, 1 scenarios" in output
    assert "events per day from 2026-01-01, 2 days:" in output
    assert output.index("warning  scenarios without description: scenarios tv") < output.index("note     users in one")
    report = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert ("warning", 0, [72, 48]) == (report["worst"], report["levels"]["error"], report["days"])
    assert not (tmp_path / "data").exists()


def test_an_import_is_checked_by_name_with_the_same_result(source: Path, tmp_path: Path) -> None:
    """Reading Parquet in batches finds what reading the files finds."""
    import_dataset("jsonl", tmp_path / "data" / "mine", source=source)
    reports = []
    for number, arguments in enumerate((("--dir", str(source)), ("--data", "mine"))):
        assert 0 == run(*arguments, "--json", str(tmp_path / f"{number}.json"))[0]
        reports.append(json.loads((tmp_path / f"{number}.json").read_text()))
    assert reports[0] == reports[1]


def test_errors_end_with_status_1(source: Path) -> None:
    """A data set that cannot be trained on fails a build."""
    rows = [json.loads(line) for line in (source / "events.jsonl").read_text().splitlines()]
    unlabelled = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    (source / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in unlabelled))
    code, output = run("--dir", str(source))
    assert 1 == code
    assert "error    labels: train rows 0" in output
    assert "set dataset.label_events to derive labels" in output


def test_exactly_one_source_is_required(source: Path) -> None:
    """Neither or both of --data and --dir is a usage error."""
    assert [2, 2] == [run()[0], run("--data", "mine", "--dir", str(source))[0]]


def test_sparkline() -> None:
    """Heights follow counts, a gap is blank, and long ranges are averaged."""
    assert "▁ ▅█" == draw_sparkline([1, 0, 50, 100])
    assert 60 == len(draw_sparkline(list(range(1, 400))))
