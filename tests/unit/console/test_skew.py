"""The skew report, read leniently."""

import json
from pathlib import Path

import pytest

from services.console.skew import InvalidSkewReport, read_skew


def write_report(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_known_columns_come_first_and_the_worst_feature_on_top(tmp_path: Path) -> None:
    lines = [
        {"name": "a", "compared": 10_000, "different": 0, "largest": 0.0, "unit": "s", "more": [1]},
        {"name": "b", "compared": 10_000, "different": 3, "largest": 0.12345},
    ]
    report = read_skew(write_report(tmp_path / "skew.json", {"features": lines, "version": 2}))
    assert ["name", "compared", "different", "largest", "unit"] == report.columns
    assert [["b", "10,000", "3", "0.1235", "-"], ["a", "10,000", "0", "0", "s"]] == report.rows


@pytest.mark.parametrize("content", [[], {}, {"features": 3}, {"features": [{"compared": 1}]}, {"features": ["a"]}])
def test_an_invalid_report_is_rejected(tmp_path: Path, content: object) -> None:
    with pytest.raises(InvalidSkewReport, match=r"skew\.json holds no"):
        read_skew(write_report(tmp_path / "skew.json", content))


def test_a_missing_file_and_invalid_json_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidSkewReport, match=r"cannot read .*none\.json"):
        read_skew(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidSkewReport, match="not JSON"):
        read_skew(tmp_path / "broken.json")
