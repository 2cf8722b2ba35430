"""From files to metrics and the report."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from export.datasets.registry import import_dataset
from export.evaluation.cli import main_table, negatives_table, run_checks
from export.evaluation.dataset_evaluation import compared_kinds, evaluate_dataset, read_experiments, write_evaluation
from export.evaluation.experiment_sections import experiment_sections
from export.evaluation.rows import EvaluationError, read_evaluation_rows
from export.evaluation.runs import read_predictions
from export.models.runs import is_current
from services.settings.load import Settings
from services.text.encoder import EncoderInfo
from tests.unit.export.evaluation.made import experiments, write_dataset

KINDS = {"popularity": False, "pooled": False, "neural": True}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "made", KINDS)


def test_segments_are_rows_of_items_and_users_without_events(dataset: Path) -> None:
    """Every twentieth row is of an item without counts; no user is cold."""
    subsets = read_evaluation_rows(dataset / "rows").subsets()
    assert ["all", "home", "search", "cold_items", "cold_users", "warm"] == list(subsets)
    counts = {name: int(mask.sum()) for name, mask in subsets.items()}
    assert {"all": 132, "home": 66, "search": 66, "cold_items": 11, "cold_users": 0, "warm": 121} == counts


def test_what_was_trained_is_compared_beside_the_default_kinds(dataset: Path) -> None:
    """A run of other rows does not count, and what is named is all that is compared."""
    assert ["popularity", "pooled", "lightgbm", "neural"] == compared_kinds(dataset, None)
    assert ["star"] == compared_kinds(dataset, ["star"])
    info = dataset / "rows" / "training_rows.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "schema_fingerprint": 1}))
    assert ["popularity", "lightgbm", "neural"] == compared_kinds(dataset, None)


def test_both_kinds_of_negatives_stand_side_by_side(tmp_path: Path) -> None:
    """Metrics of either kind against all positives; with one kind alone there is nothing to compare."""
    both = write_dataset(tmp_path / "both", KINDS, sampling=("uniform", "popularity"))
    figures = evaluate_dataset(both, list(KINDS), 2, 40)
    segments, sizes = figures["models"]["neural"]["test"]["segments"], figures["subsets"]
    assert segments["uniform_negatives"]["auc"]["value"] != segments["popularity_negatives"]["auc"]["value"]
    for kind in ("uniform", "popularity"):
        size = sizes[f"{kind}_negatives"]
        assert (sizes["all"]["positives"], figures["negatives"][kind]) == (
            size["positives"],
            size["rows"] - size["positives"],
        )
    write_evaluation(tmp_path / "out", figures, {})
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Negatives by popularity (" in page
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(negatives_table(figures))
    assert re.search(r"neural +0\.\d{4} +0\.\d{4} +0\.\d{4} +0\.\d{4}", console.export_text())
    alone = write_dataset(tmp_path / "alone", KINDS, sampling=("uniform",))
    figures = evaluate_dataset(alone, list(KINDS), 2, 40)
    assert "uniform_negatives" not in figures["subsets"]
    assert negatives_table(figures) is None
    write_evaluation(tmp_path / "out", figures, {})
    assert "set dataset.negative_sampling" in (tmp_path / "out" / "report.html").read_text()


def test_rows_that_were_not_ranked_together_have_no_ndcg(dataset: Path, tmp_path: Path) -> None:
    """Every row is a request of its own: metrics of lists are null and a dash, the others stay; the report says why."""
    path = dataset / "rows" / "rows.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("request_id")
    pq.write_table(table.set_column(place, "request_id", pa.array([f"r{n}" for n in range(len(table))])), path)
    figures = evaluate_dataset(dataset, list(KINDS), 2, 40)
    assert 0 == figures["subsets"]["all"]["compared_requests"]
    found = figures["models"]["neural"]["test"]["all"]
    unknown = {"value": None, "low": None, "high": None, "seeds": [None, None], "deviation": None}
    assert [unknown] * 3 == [found[name] for name in ("ndcg_at_10", "recall_at_10", "mrr")]
    assert found["auc"]["value"] > 0.5
    assert figures["differences"]["pooled"]["neural"]["all"]["ndcg_at_10"]["p"] is None
    write_evaluation(tmp_path / "out", figures, {})
    assert "Give the rows of one list the same request_id" in (tmp_path / "out" / "report.html").read_text()
    console = Console(markup=False, width=120, record=True, file=io.StringIO())
    console.print(main_table(figures))
    (row,) = [line for line in console.export_text().splitlines() if line.strip().startswith("neural")]
    assert "-" == row.split()[3]


def test_results_hold_every_metric_of_every_subset(dataset: Path) -> None:
    """Values with interval and seeds; an empty segment has none; JSON takes them."""
    figures = evaluate_dataset(dataset, list(KINDS), 2, 50)
    test = figures["models"]["neural"]["test"]
    assert {"all", "home", "search", "segments"} == set(test)
    assert {} == test["segments"]["cold_users"]
    auc = test["all"]["auc"]
    assert pytest.approx(np.mean(auc["seeds"])) == auc["value"]
    assert auc["low"] < auc["value"] < auc["high"]
    assert 2 == len(auc["seeds"])
    assert test["all"]["coverage"]["low"] is None
    assert figures == json.loads(json.dumps(figures, allow_nan=False))


def test_the_best_baseline_has_no_transfer_weights(dataset: Path) -> None:
    """Differences are to it and to pooling, and of a model's copy to itself they are 0 with p = 1."""
    for seed in range(2):
        source, copy = dataset / "runs" / f"pooled-seed{seed}", dataset / "runs" / f"copy-seed{seed}"
        copy.mkdir()
        for name in ("run.json", "predictions.parquet"):
            (copy / name).write_bytes((source / name).read_bytes())
    figures = evaluate_dataset(dataset, [*KINDS, "copy"], 2, 50)
    assert figures["baseline"] in {"popularity", "pooled", "copy"}
    same = figures["differences"]["pooled"]["copy"]["all"]
    assert {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "seeds": [0.0, 0.0]} == same["auc"]
    assert 1.0 == same["wilcoxon_p"]


def test_transfer_weights_are_averaged_over_seeds(dataset: Path) -> None:
    """Seeds 0.3 and 0.4: mean 0.35, deviation 0.0707."""
    transfer = evaluate_dataset(dataset, ["neural"], 2, 40)["models"]["neural"]["transfer"]
    assert pytest.approx(0.35) == transfer["mean"][0][1]
    assert pytest.approx(0.1 / 2**0.5) == transfer["over_seeds"][0][1]
    assert pytest.approx(0.5 * (0.3 / 1.1 + 0.4 / 1.4)) == transfer["share"][0][1]
    assert pytest.approx((0.4 / 1.4 - 0.3 / 1.1) / 2**0.5) == transfer["share_over_seeds"][0][1]


def test_transfer_weights_come_with_evidence(dataset: Path) -> None:
    """P of the target is the probability here, and leaving out source `regular` alone changes it: it is halved."""
    figures = evaluate_dataset(dataset, ["neural"], 2, 40)["models"]["neural"]
    transfer = figures["transfer"]
    assert pytest.approx(1.0) == transfer["stability"]["rank_correlation"]
    assert transfer["stability"]["off_diagonal"] is None
    for scenario in ("home", "search"):
        ece = transfer["calibration"][scenario]["ece"]
        assert pytest.approx(figures["test"][scenario]["ece"]["value"], abs=1e-3) == ece["value"]
        assert 0 < ece["low"] < ece["high"]
    lost = transfer["worth"]["log_loss"]
    assert lost[1][0] > 0.1
    assert pytest.approx(0, abs=1e-6) == lost[1][2]
    assert [None] * 3 == lost[0]
    assert 4 == transfer["worth"]["of"]


def test_runs_without_their_parts_have_no_calibration_and_worth(dataset: Path, tmp_path: Path) -> None:
    """Those of an earlier version; the report says that they are to be trained again."""
    (dataset / "runs" / "neural-seed1" / "sources.parquet").unlink()
    figures = evaluate_dataset(dataset, ["neural"], 2, 40)
    transfer = figures["models"]["neural"]["transfer"]
    assert [None, None] == [transfer["calibration"], transfer["worth"]]
    write_evaluation(tmp_path / "out", figures, {})
    assert "Runs of an earlier version (P/M neural)" in (tmp_path / "out" / "report.html").read_text()


def test_parts_of_other_rows_are_an_error(dataset: Path) -> None:
    """The error names file, column and what to do."""
    path = dataset / "runs" / "neural-seed1" / "sources.parquet"
    pq.write_table(pq.read_table(path).slice(3), path)
    with pytest.raises(EvaluationError, match=r"sources.parquet: column row: .* are not the .* test rows; .* again"):
        read_predictions(dataset, "neural", 1, read_evaluation_rows(dataset / "rows"))


def test_a_run_of_other_rows_is_not_current(dataset: Path) -> None:
    """A finished run of the present rows is; one of other rows or without run.json is not."""
    run = dataset / "runs" / "pooled-seed0"
    info = json.loads((dataset / "rows" / "training_rows.json").read_text())
    assert is_current(run, info)
    assert not is_current(run, {**info, "schema_fingerprint": 8})
    assert not is_current(dataset / "runs" / "pooled-seed9", info)


def test_a_run_without_all_rows_is_an_error_that_names_it(dataset: Path) -> None:
    """The error names file, column and what to do."""
    path = dataset / "runs" / "pooled-seed0" / "predictions.parquet"
    pq.write_table(pq.read_table(path).slice(3), path)
    with pytest.raises(EvaluationError, match=r"predictions.parquet: column probability: missing for 3 of .* again"):
        read_predictions(dataset, "pooled", 0, read_evaluation_rows(dataset / "rows"))


def test_rows_without_test_split_are_an_error(dataset: Path) -> None:
    """There is nothing to evaluate on."""
    path = dataset / "rows" / "rows.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("split")
    pq.write_table(table.set_column(place, "split", pa.array(["train"] * len(table))), path)
    with pytest.raises(EvaluationError, match="no labelled row has split test"):
        read_evaluation_rows(dataset / "rows")


def test_a_broken_experiment_file_is_named(dataset: Path) -> None:
    """The error names the file and what to do."""
    (dataset / "experiments").mkdir()
    (dataset / "experiments" / "ablation.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"ablation.json: is not JSON"):
        read_experiments(dataset)


def test_report_shows_every_section_and_needs_nothing_else(dataset: Path, tmp_path: Path) -> None:
    """All sections are drawn, nothing is loaded from elsewhere, and notes are quoted as text."""
    write_evaluation(tmp_path / "out", evaluate_dataset(dataset, list(KINDS), 2, 40), experiments())
    page = (tmp_path / "out" / "report.html").read_text()
    sections = re.findall(r'<section id="(\w+)">', page)
    expected = ["overview", "models", "differences", "scenarios", "negatives", "cold", "calibration", "transfer"]
    expected += ["training", "limits"]
    expected += ["ablation", "scarcity", "sources", "recogniser", "method"]
    assert expected == sections
    assert 0 == len(re.findall(r'(?:src|href)="https?://', page))
    assert 0 == len(re.findall(r"<script|<link|@import|src=\"(?!data:)", page))
    assert "&lt;few&gt; rows" in page
    assert 18 <= page.count('<svg role="img"')
    assert "Not measured" not in page
    assert "&lt;Made&gt; for a test." in page
    assert "e5 (many): the texts are Chinese" in page
    assert "Cold users: this data set has no such test rows." in page


def test_the_data_check_of_the_report_is_that_of_data_check(tmp_path: Path) -> None:
    """It knows the text encoder that is set and the one that is built, and its numbers are those that are printed."""
    rows = [
        {"user_id": f"u{n % 4}", "scenario_id": "tv", "item_id": "ab"[n % 2], "time": 1_767_225_600_000 + 1000 * n}
        | {"type": "impression", "label": n % 2, "request_id": f"r{n // 2}"}
        for n in range(2400)
    ]
    source = tmp_path / "source"
    source.mkdir()
    (source / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    item = {"item_id": "a", "time": 1_767_225_600_000, "title": "尿不湿"}
    (source / "items.jsonl").write_text(json.dumps(item) + "\n")
    import_dataset("jsonl", tmp_path / "made", source=source)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    EncoderInfo(1, 64, 0, "all-MiniLM-L6-v2", "English", ("Latin",)).save(encoder)

    def found(settings: Settings, name: str) -> dict[str, str]:
        checks = run_checks(settings, tmp_path / "made")
        assert checks is not None
        return next(check for check in checks if check["name"] == name)

    auto = Settings(encoder_dir=tmp_path / "none")
    texts = "texts for the encoder"
    assert "The multilingual encoder is taken" in found(auto, texts)["text"]
    assert "English is set" in found(auto.model_copy(update={"text_encoder": "english"}), texts)["text"]
    assert "The encoder that was built before" in found(auto.model_copy(update={"encoder_dir": encoder}), texts)["text"]
    assert re.search(
        r"unknown tokens 50\.0%, catalogue: scripts Han 60\.0%, Latin 40\.0%$", found(auto, texts)["found"]
    )
    assert "train rows 1,920" in found(auto, "labels")["found"]


def test_learning_curves_mark_the_state_that_was_kept(dataset: Path) -> None:
    """A point per pass and seed; the best validation AUC was kept. Runs of earlier versions have no curve."""
    training = evaluate_dataset(dataset, ["neural"], 2, 40)["models"]["neural"]["training"]
    curve = training["curve"]
    assert [(0, 6), (1, 6)] == [(point["seed"], point["steps"]) for point in curve if point["kept"]]
    assert [0.62, 0.5, 0.7] == [point["validation_loss"] for point in curve if not point["seed"]]
    assert [{"name": "batch_rows", "value": "128", "reason": "<few> rows"}] == training["choices"]
    for seed in range(2):
        run = dataset / "runs" / f"pooled-seed{seed}" / "run.json"
        run.write_text(json.dumps({"kind": "pooled", "seed": seed, "rows": {}}))
    assert evaluate_dataset(dataset, ["pooled"], 2, 40)["models"]["pooled"]["training"] is None


def test_undefined_metrics_of_experiments_are_dashes() -> None:
    """Where test rows of a target are of one class there is no AUC: null in the file, a dash in tables, no dot."""
    undefined = experiments()
    names = ("auc", "auc_sd", "ndcg_at_10", "ndcg_at_10_sd", "auc_change", "auc_change_sd")
    undefined["ablation"]["rows"][-1] |= dict.fromkeys(names)
    for name, field in (("scarcity", "auc"), ("sources", "auc_change")):
        undefined[name]["rows"][-1] |= {field: None, f"{field}_sd": None}
    for row in undefined["sources"]["rows"]:
        row |= {"retrained_auc_change": None, "retrained_auc_change_sd": None}
    ablation, scarcity, sources, _ = experiment_sections(undefined, "made")
    assert ["text", "-", "-", "-"] == [cell.text for cell in ablation.tables[0].rows[-1].cells]
    assert "-" == scarcity.tables[0].rows[-1].cells[3].text
    assert "home without search" not in sources.plots[0].title
    assert "home without home" in sources.plots[0].title


def test_missing_experiments_are_named_with_their_commands() -> None:
    """One line names the command of each."""
    sections = experiment_sections({}, "made")
    assert ["ablation", "scarcity", "sources", "recogniser"] == [section.key for section in sections]
    for section in sections:
        command = "train-recogniser" if section.key == "recogniser" else f"experiment {section.key}"
        assert f"Run crossrec {command} --data made, then crossrec evaluate again." in section.notices[0]
