"""The template, run by the commands of its README, up to a trained and registered model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.main import app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160", "NO_COLOR": "1"})
    assert 0 == result.exit_code, result.output
    return result.output


def test_template_becomes_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lines of each table are enough to go through every step once."""
    source, data = tmp_path / "source", tmp_path / "data"
    run("data", "template", str(source))
    for name, value in {
        "CONFIG": source / "crossrec.toml",
        "DATA_DIR": data,
    }.items():
        monkeypatch.setenv(f"CROSSREC_{name}", str(value))
    assert "0 error" in run("data", "check", "--dir", str(source))
    run("import", "jsonl", "--source", str(source), "--out", str(data / "mine"))
    assert "0 error" in run("data", "check", "--data", "mine")
    run("replay", "--data", "mine")
    assert 12 == json.loads((data / "mine" / "rows" / "training_rows.json").read_text())["counts"]["rows"]
    run("train", "--data", "mine", "--model", "affine", "--epochs", "1")
    assert 1 == len(list((data / "mine" / "registry").glob("affine/*/model.onnx")))
