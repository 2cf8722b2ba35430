"""Files and folders that exist already where the settings point."""

import os
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.settings.folders import judge_folders, require_folders
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings


def settings(folder: Path, **places: str | Path) -> Settings:
    own = {"data_dir": folder / "data", "registry_dir": folder / "models", "encoder_dir": folder / "encoder"}
    store = StoreSettings(registry=folder / "feast" / "registry.db", offline_dir=folder / "offline")
    return Settings(**{**own, "store": store, **places})


def test_what_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    """Also several folders deep; a registry in object storage is none."""
    assert [] == judge_folders(settings(tmp_path / "deep" / "er"))
    assert [] == judge_folders(settings(tmp_path, registry_dir="s3://bucket/models"))


def test_what_is_there_may_stay(tmp_path: Path) -> None:
    """With any content."""
    for name in ("data", "models", "encoder", "offline", "feast"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stray").write_text("x")
    (tmp_path / "feast" / "registry.db").write_bytes(b"")
    assert [] == judge_folders(settings(tmp_path))


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """So is one above it, and a folder in place of a file; all at once."""
    for name in ("data", "models", "offline"):
        (tmp_path / name).write_text("x")
    (tmp_path / "feast" / "registry.db").mkdir(parents=True)
    found = judge_folders(settings(tmp_path, encoder_dir=tmp_path / "data" / "encoder"))
    assert [
        f"data_dir: {tmp_path}/data is not a directory",
        f"encoder_dir: {tmp_path}/data is not a directory, so {tmp_path}/data/encoder cannot be made",
        f"registry_dir: {tmp_path}/models is not a directory",
        f"store.offline_dir: {tmp_path}/offline is not a directory",
        f"store.registry: {tmp_path}/feast/registry.db is not a file",
    ] == found
    with pytest.raises(ConfigurationError, match=r"data_dir: .*; registry_dir: .*; store.registry: "):
        require_folders(settings(tmp_path))


def test_a_missing_right_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of writing only where the processes write."""
    for name in ("data", "models", "encoder", "offline", "feast"):
        (tmp_path / name).mkdir()
    (tmp_path / "feast" / "registry.db").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda _, rights: not rights & os.W_OK)
    assert [
        f"store.offline_dir: {tmp_path}/offline cannot be written by this user",
        f"store.registry: {tmp_path}/feast/registry.db cannot be read and written by this user",
    ] == judge_folders(settings(tmp_path))
    monkeypatch.setattr(os, "access", lambda _, rights: bool(rights & os.W_OK))
    assert f"data_dir: {tmp_path}/data cannot be read by this user" in judge_folders(settings(tmp_path))
