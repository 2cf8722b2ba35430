"""Training rows that are not those of today's data, settings and code are refused, with what changed."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from export.rows import provenance
from export.rows.provenance import StaleRows, describe_data, digest_code, require_current_rows
from services.features.schema import build_schema
from services.settings.load import Settings
from services.settings.training import DatasetSettings
from services.text.encoder import EncoderInfo

IMPORTED = {"settings": DatasetSettings(name="made", label_window_s=60.0).model_dump(mode="json")}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a data set `made`, imported and replayed under them."""
    settings = Settings(data_dir=tmp_path, encoder_dir=tmp_path / "encoder")
    settings.encoder_dir.mkdir()
    EncoderInfo(7, settings.features.text_dims, 0, "made").save(settings.encoder_dir)
    data = tmp_path / "made"
    (data / "rows").mkdir(parents=True)
    (data / "events.parquet").write_bytes(b"events")
    (data / "dataset.json").write_text(json.dumps({"arguments": IMPORTED}))
    write_info(settings)
    return settings


def write_info(settings: Settings, **changes: Any) -> None:
    data = settings.data_dir / "made"
    info = {
        "schema_fingerprint": build_schema(settings.features).fingerprint,
        "encoder_fingerprint": 7,
        "features": asdict(settings.features),
        "counts": {"rows": 1},
        "code": digest_code(),
        "data": describe_data(data, {}),
        **changes,
    }
    (data / "rows" / "training_rows.json").write_text(json.dumps(info))


def refusal(settings: Settings) -> str:
    with pytest.raises(StaleRows) as caught:
        require_current_rows(settings, "made")
    return str(caught.value)


def test_rows_of_the_same_data_settings_and_code_are_taken(settings: Settings) -> None:
    """A second import of the same tables changes nothing."""
    (settings.data_dir / "made" / "events.parquet").write_bytes(b"events")
    require_current_rows(settings, "made")


def test_tables_that_stay_are_read_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation asks for every kind and seed."""
    require_current_rows(settings, "made")
    monkeypatch.setattr(provenance, "file_digest", None)
    require_current_rows(settings, "made")


def test_another_import_over_the_same_name_is_refused(settings: Settings) -> None:
    """The error is one line with the command to run. As an import does, the file is written beside and moved in."""
    written = settings.data_dir / "made" / "events.part"
    written.write_bytes(b"others")
    written.replace(settings.data_dir / "made" / "events.parquet")
    rows = settings.data_dir / "made" / "rows"
    expected = "another import, or an erasure, has changed the data. Run `crossrec replay --data made`, or `crossrec "
    assert f"{rows} are stale: {expected}train --replay`" == refusal(settings)


def test_an_erasure_makes_rows_stale(settings: Settings) -> None:
    """They still hold the user's events."""
    (settings.data_dir / "made" / "erasures.parquet").write_bytes(b"x")
    assert "an erasure" in refusal(settings)


def test_a_changed_half_life_is_refused(settings: Settings) -> None:
    """The setting is named, with both values."""
    changed = settings.model_copy(update={"features": replace(settings.features, half_lives_s=(60.0,))})
    assert "features.half_lives_s was [3600.0, 86400.0, 2592000.0] in the rows, is [60.0]" in refusal(changed)


def test_another_encoder_and_other_code_are_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also rows of a release without digests."""
    EncoderInfo(8, settings.features.text_dims, 0, "made").save(tmp_path / "encoder")
    assert "the text encoder in" in refusal(settings)
    EncoderInfo(7, settings.features.text_dims, 0, "made").save(tmp_path / "encoder")
    monkeypatch.setattr(provenance, "digest_code", lambda: "other")
    assert "the code of the features is another one" in refusal(settings)
    write_info(settings, data={})
    assert "they are of an earlier release" in refusal(settings)


def test_settings_of_labels_that_differ_from_the_import_are_refused(settings: Settings) -> None:
    """Only those that are set: a shell without the settings file may train on."""
    require_current_rows(settings.model_copy(update={"dataset": DatasetSettings(name="made")}), "made")
    changed = settings.model_copy(update={"dataset": DatasetSettings(label_window_s=5.0)})
    assert "dataset.label_window_s was 60.0 in the import, is 5.0. Run `crossrec import` again" in refusal(changed)


def test_rows_without_their_data_set_are_taken(settings: Settings) -> None:
    """Split anew, or on a machine that only trains."""
    (settings.data_dir / "made" / "events.parquet").unlink()
    require_current_rows(settings, "made")


def test_comments_do_not_make_rows_stale() -> None:
    """Nor docstrings and layout; a changed number does."""
    first = provenance._without_docstrings('def f():\n    """One."""\n    return 1  # one\n')
    assert first == provenance._without_docstrings('def f():\n\n    """Another."""\n    return 1\n')
    assert first != provenance._without_docstrings("def f():\n    return 2\n")
