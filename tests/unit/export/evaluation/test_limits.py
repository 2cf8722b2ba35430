"""What limits a model: each limit is found where it is, and not where it is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.evaluation.dataset_evaluation import evaluate_dataset
from export.evaluation.limits import TrainingFacts, find_limits, read_facts
from export.evaluation.training_sections import limits_section
from tests.unit.export.evaluation.made import write_dataset

PLENTY = TrainingFacts(100_000, 20_000, 500, 300.0, 0.0, {"home": 60_000, "search": 40_000})


def figures(auc: float = 0.8, half_width: float = 0.004, cold: int = 0, gap: float = 0.0) -> dict[str, Any]:
    sizes = {"all": 1000, "cold_users": cold, "cold_items": 0}
    point = {"seed": 0, "steps": 3, "train_loss": 0.4, "validation_loss": 0.4 + gap, "kept": True}
    estimate = {"value": auc, "low": auc - half_width, "high": auc + half_width}
    model = {"test": {"all": {"auc": estimate}}, "training": {"choices": [], "curve": [point]}}
    return {"subsets": {name: {"rows": rows} for name, rows in sizes.items()}, "models": {"neural": model}}


def weights(**changes: Any) -> dict[str, Any]:
    """Evidence of good weights, with changes."""
    good = {
        "stability": {"rank_correlation": 0.93, "off_diagonal": 0.85},
        "calibration": {"home": {"ece": {"value": 0.01}}, "search": {"ece": {"value": 0.029}}},
        "worth": {"rank_correlation": {"value": 0.6, "low": 0.2, "high": 0.8}, "pairs": 2, "of": 2},
    }
    return good | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"stability": None, "calibration": None, "worth": None}, []),
        ({"stability": {"rank_correlation": 1.0, "off_diagonal": None}}, []),
        ({"stability": {"rank_correlation": 0.62, "off_diagonal": 0.9}}, ["Unstable weights"]),
        ({"stability": {"rank_correlation": 0.95, "off_diagonal": 0.5}}, ["Unstable weights"]),
        ({"calibration": {"tv": {"ece": {"value": 0.05}}}}, ["Uncalibrated preferences"]),
        (
            {"worth": {"rank_correlation": {"value": 0.1, "low": -0.2, "high": 0.4}, "pairs": 3, "of": 9}},
            ["Weights without worth"],
        ),
    ],
)
def test_limits_of_transfer_weights(changes: dict[str, Any], expected: list[str]) -> None:
    """What is unknown, as with one seed, is no limit."""
    made = figures()
    made["models"]["neural"]["transfer"] = weights(**changes)
    assert expected == [limit["name"] for limit in find_limits(PLENTY, made)]


def names(facts: TrainingFacts, **changes: Any) -> list[str]:
    return [limit["name"] for limit in find_limits(facts, figures(**changes))]


def test_nothing_limits_plenty_of_rows() -> None:
    """Of both scenarios, over months, with texts."""
    assert [] == names(PLENTY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rows": 3000}, ["Few rows", "Short histories"]),
        ({"positives": 900}, ["Few rows"]),
        ({"users": 50_000}, ["Short histories"]),
        ({"days": 2.0}, ["Short time"]),
        ({"scenarios": {"all": 100_000}}, ["One scenario"]),
        ({"scenarios": {"home": 99_500, "tv": 500}}, ["Small scenarios"]),
        ({"without_text": 0.9}, ["No texts"]),
    ],
)
def test_limits_of_the_rows(changes: dict[str, Any], expected: list[str]) -> None:
    """Each fact alone."""
    assert expected == names(replace(PLENTY, **changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cold": 400}, "Cold users"),
        ({"auc": 0.99}, "Too good"),
        ({"half_width": 0.03}, "Few test rows"),
        ({"gap": 0.2}, "Overfitting"),
    ],
)
def test_limits_of_the_figures(changes: dict[str, Any], expected: str) -> None:
    """Cold rows, signs of a leak, wide intervals, losses far apart."""
    assert [expected] == names(PLENTY, **changes)


def test_facts_are_read_from_rows(tmp_path: Path) -> None:
    """Twenty training rows of one user; times of all rows; texts all there."""
    data = write_dataset(tmp_path / "made", {})
    facts = read_facts(data / "rows")
    assert (20, 1, 0.0) == (facts.rows, facts.users, facts.without_text)
    assert {"home": 10, "search": 10} == facts.scenarios
    assert pytest.approx(239 / 24) == facts.days


def test_findings_of_the_data_check_are_in_the_report(tmp_path: Path) -> None:
    """Errors and warnings; that the check was not run is said, too."""
    data = write_dataset(tmp_path / "made", {"pooled": False})
    checks = [
        {"name": "late labels", "level": "warning", "found": "rows 7", "text": "The label leaks."},
        {"name": "days without events", "level": "note", "found": "", "text": "A gap."},
    ]
    section = limits_section(evaluate_dataset(data, ["pooled"], 1, 40, checks=checks))
    texts = [cell.text for row in section.tables[0].rows for cell in row.cells]
    assert "The label leaks." in texts
    assert "A gap." not in texts
    assert "data check was not run" in limits_section(evaluate_dataset(data, ["pooled"], 1, 40)).notices[0]
