"""Checks of the store, the encoder and the model that the settings name."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.doctor.check import CheckState
from services.doctor.reach import model_checks
from services.doctor.store import store_checks
from services.features.config import FeatureConfig
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.settings.processes import RankingSettings
from services.text.encoder import EncoderInfo
from tests.unit.ranking.model.test_onnx_model import ENCODER, SCHEMA, register

CLOSED = "127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a matching encoder and model."""
    directory = tmp_path / "encoder"
    directory.mkdir()
    EncoderInfo(ENCODER, SCHEMA.config.text_dims, 0, "made").save(directory)
    register(tmp_path / "registry")
    return build_settings(tmp_path)


def build_settings(folder: Path, **ranking: Any) -> Settings:
    chosen = RankingSettings(model="tiny", **ranking)
    places = {"encoder_dir": folder / "encoder", "registry_dir": folder / "registry"}
    return Settings(**places, features=SCHEMA.config, ranking=chosen)


def states(settings: Settings) -> dict[str, CheckState]:
    return {check.name: check.state for check in model_checks(settings)}


def test_a_store_that_does_not_answer_is_wrong() -> None:
    """The finding has its address and not its password."""
    (check,) = store_checks(StoreSettings(url=f"{CLOSED},password=secret"))
    assert CheckState.WRONG == check.state
    assert CLOSED in check.found
    assert "secret" not in check.found + check.advice


def test_a_matching_model_is_ok(settings: Settings) -> None:
    """So is the encoder."""
    assert {"text encoder": CheckState.OK, "model": CheckState.OK} == states(settings)


def test_a_missing_encoder_is_wrong(tmp_path: Path, settings: Settings) -> None:
    """The model is not checked then."""
    (tmp_path / "encoder" / "encoder.json").unlink()
    assert {"text encoder": CheckState.WRONG} == states(settings)


def test_a_missing_model_is_wrong(tmp_path: Path, settings: Settings) -> None:
    """The configured version does not exist."""
    assert CheckState.OK == states(settings)["model"]
    assert CheckState.WRONG == states(build_settings(tmp_path, version="9"))["model"]


def test_a_mismatch_is_named(tmp_path: Path, settings: Settings) -> None:
    """By the settings that differ, not by every feature that they rename."""
    manifest = tmp_path / "registry" / "tiny" / "1" / "manifest.json"
    changed = json.loads(manifest.read_text())
    changed["features"]["half_lives_s"] = [60.0]
    manifest.write_text(json.dumps(changed))
    (check,) = [check for check in model_checks(settings) if check.name == "model"]
    assert CheckState.WRONG == check.state
    assert "features.half_lives_s is [60.0] in the model" in check.found
    assert "tensor" not in check.found


def test_an_encoder_of_other_dimensions_is_wrong(settings: Settings) -> None:
    """Its vectors would count as missing."""
    other = settings.model_copy(update={"features": FeatureConfig(text_dims=2)})
    assert CheckState.WRONG == states(other)["text encoder"]


def test_batching_needs_a_model_that_supports_it(tmp_path: Path, settings: Settings) -> None:
    """A warning: the model is served unbatched."""
    assert "batching" not in states(settings)
    assert CheckState.WARNING == states(build_settings(tmp_path, batch_wait_ms=1.0))["batching"]
