"""Own data as people have it, imported and checked: what the import makes draws no warning of the check."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.datasets.check.columns import MemoryTableReader
from export.datasets.check.data_check import check_data
from export.datasets.check.half_lives import propose_half_lives, sample_ages, toml_line
from export.datasets.check.report import Finding
from export.datasets.jsonl import load_jsonl
from export.text_encoder.sentence_encoders import AUTO
from services.features.config import Attribute, FeatureConfig
from services.settings.training import DatasetSettings

T0 = 1_767_225_600_000
HOUR = 3_600_000
CONFIG = FeatureConfig(attributes=(Attribute("hour", "context"),))
NOW_MS = T0 + 400 * 24 * HOUR
MINUTE_S, DAY_S = 60.0, 86_400.0


def actions(kind: str, count: int = 3000, **more: Any) -> list[dict[str, Any]]:
    """Actions of 60 users with 100 items that appear one after the other, over 50 days, each with its context."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 1200 * HOUR, count))
    return [
        {
            "user_id": f"u{rng.integers(60)}",
            "scenario_id": ("tv", "phone")[rng.integers(2)],
            "item_id": f"i{rng.integers(1 + 100 * place // count)}",
            "type": kind,
            "time": T0 + int(time),
            "context": {"hour": float(time // HOUR % 24)},
            **{name: float(rng.integers(1, 6)) if value == "random" else value for name, value in more.items()},
        }
        for place, time in enumerate(times)
    ]


def findings(directory: Path, events: list[dict[str, Any]], **settings: Any) -> dict[str, Finding]:
    (directory / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))
    rules = DatasetSettings(**settings)
    dataset = load_jsonl(source=directory, settings=rules)
    report = check_data(MemoryTableReader(dataset), CONFIG, rules.label_window_s, NOW_MS, AUTO, None)
    return {found.name: found for found in report.findings}


RATED = {"label_events": ("rating",), "rating_threshold": 4.0}
BOUGHT = {"label_events": ("click",), "negatives": "sampled"}


@pytest.mark.parametrize("method", ["time", "user", "random", "user_time"])
@pytest.mark.parametrize(("kind", "settings"), [("rating", RATED), ("click", BOUGHT)])
def test_splits_of_the_settings_draw_no_warning(
    tmp_path: Path, kind: str, settings: dict[str, Any], method: str
) -> None:
    """Of 3,000 rows, whichever the method; a random split is noted as such."""
    found = findings(tmp_path, actions(kind, value="random" if kind == "rating" else None), split=method, **settings)
    order = found["order of the splits"]
    assert ("note" if method == "random" else "ok") == order.level
    assert ("at random" in order.meaning) == (method == "random")
    assert "ok" == found["requests in two splits"].level
    assert {"ok"} == {found[name].level for name in ("labels", "time unit", "labelled rows with attributes")}


def test_negatives_drawn_by_the_import_existed(tmp_path: Path) -> None:
    """Late items: no negative stands before its item's first event, and the made rows have the context."""
    found = findings(tmp_path, actions("click"), **BOUGHT)
    assert ("ok", 0) == (
        found["negatives before any event"].level,
        found["negatives before any event"].numbers["before any event"],
    )
    assert "ok" == found["declared attributes without values"].level


def test_negatives_from_the_future_are_found(tmp_path: Path) -> None:
    """A file of items that says that all of them existed from the start."""
    items = [{"item_id": f"i{n}", "time": T0 - HOUR, "title": "x"} for n in range(100)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items))
    early = findings(tmp_path, actions("click"), **BOUGHT)["negatives before any event"]
    assert "warning" == early.level
    assert 0.3 < float(early.numbers["share"]) < 0.6


def test_ratings_without_requests_are_compared_by_day(tmp_path: Path) -> None:
    """A note says so; users with one row a day have nothing to compare, which is a warning."""
    found = findings(tmp_path, actions("rating", value="random"), **RATED)["requests"]
    assert "note" == found.level
    assert int(str(found.numbers["without request"])) > 2900  # a second rating within the window is the same decision
    assert int(str(found.numbers["compared in test"])) > 10
    once = [{**row, "user_id": f"u{place}"} for place, row in enumerate(actions("rating", value="random"))]
    assert "warning" == findings(tmp_path, once, **RATED)["requests"].level


def test_half_lives_are_proposed_from_the_ages_of_history() -> None:
    """Sessions of minutes within months: from minutes to months, and the line to take."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(300), 40)
    begin = np.repeat(rng.integers(0, 200 * 24 * HOUR, 300), 40)
    time = begin + np.tile(np.arange(40), 300) * 30_000
    item = rng.integers(0, 200, len(user))
    proposed = propose_half_lives(sample_ages(user, item, time))
    assert (MINUTE_S, 6 * 3600, 60 * DAY_S) == proposed
    assert "half_lives_s = [60.0, 21600.0, 5184000.0]" == toml_line(proposed)


def test_without_history_there_is_no_proposal() -> None:
    """One action a user, or all at one time."""
    count = np.arange(5)
    assert () == propose_half_lives(sample_ages(count, count, count * HOUR))
    assert () == propose_half_lives(sample_ages(count * 0, count * 0, count * 0))
    assert () == propose_half_lives(sample_ages(count[:0], count[:0], count[:0]))
