"""Files as people have them, by the commands that `crossrec data start` prints, up to a registered model."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.main import app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160", "NO_COLOR": "1"})
    assert 0 == result.exit_code, (arguments, result.output, result.exception)
    return result.output


def write_files(directory: Path) -> list[str]:
    """Ratings of 40 users of 30 films: each likes one genre."""
    rng, genres = np.random.default_rng(0), ("Crime", "Comedy")
    rows = ["userId,movieId,rating,timestamp"]
    for n in range(1500):
        user, film = int(rng.integers(40)), int(rng.integers(30))
        stars = 4 + int(rng.integers(2)) if user % 2 == film % 2 else 1 + int(rng.integers(3))
        rows.append(f"{user},{film},{stars},{1_600_000_000 + 7200 * n}")
    (directory / "ratings.csv").write_text("\n".join(rows))
    films = [f'{n},"Film {n}, a story",{genres[n % 2]}|Drama,{1980 + n}' for n in range(30)]
    (directory / "movies.csv").write_text("\n".join(["movieId,title,genres,year", *films]))
    users = [f"{n};{18 + n};{('m', 'f')[n % 2]}" for n in range(40)]
    (directory / "users.csv").write_text("\n".join(["id;age;gender", *users]))
    return [f"{name}.csv" for name in ("ratings", "movies", "users")]


def test_the_printed_commands_train_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a change of the settings; users' ages make the scenarios."""
    monkeypatch.chdir(tmp_path)
    printed = run("data", "start", *write_files(tmp_path))
    monkeypatch.setenv("CROSSREC_CONFIG", str(tmp_path / "crossrec.toml"))
    commands = re.findall(r"^ +crossrec (.*)$", printed, re.MULTILINE)
    assert ["import", "data", "replay", "train"] == [command.split()[0] for command in commands]
    outputs = [run(*command.split()) for command in commands[:-1]]
    for scenario in ("age under 25", "age 25 to below 35", "age 35 and more"):
        assert scenario in outputs[1]
    assert "0 error" in outputs[1]
    run(*commands[-1].split(), "--model", "affine", "--epochs", "2")
    assert 1 == len(list((tmp_path / "data" / "ratings" / "registry").glob("affine/*/model.onnx")))
