"""Settings from environment and file."""

from pathlib import Path

import pytest

from services.features.config import Attribute
from services.runtime.errors import ConfigurationError
from services.runtime.settings import Settings, described, load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)


def test_every_setting_says_what_it_is() -> None:
    """`crossrec settings` has a name, a default and a meaning to print for each."""
    found = {setting.name: setting for setting in described(Settings())}
    assert [] == [name for name, setting in found.items() if not setting.meaning]
    assert (4, 4) == (found["kafka.partitions"].value, found["kafka.partitions"].default)
    assert "shortest first" in found["features.half_lives_s"].meaning


def test_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file fills in what the environment leaves out."""
    file = tmp_path / "crossrec.toml"
    file.write_text('[kafka]\npartitions = 8\ntopic_prefix = "shop"\n')
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    monkeypatch.setenv("CROSSREC_KAFKA__PARTITIONS", "12")
    kafka = load_settings().kafka
    assert (12, "shop") == (kafka.partitions, kafka.topic_prefix)


def test_features_are_declared_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-lives and attributes come from the file."""
    file = tmp_path / "crossrec.toml"
    file.write_text('[features]\nhalf_lives_s = [60.0]\n[[features.attributes]]\nname = "fat"\nentity = "item"\n')
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    features = load_settings().features
    assert (60.0,) == features.half_lives_s
    assert (Attribute("fat", "item"),) == features.attributes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kafka]\npartitons = 8\n", "kafka.partitons: Extra inputs are not permitted"),
        ("[kafka]\npartitions = 0\n", "kafka.partitions: Input should be greater than or equal to 1"),
        ("[features]\nhalf_lives_s = [60.0, 5.0]\n", "features.half_lives_s: give at least one half-life"),
        ("[features.engagement]\nbuy = 1.0\n", "features.engagement: unknown event types"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    """A typo or a value out of range is an error that names the setting."""
    file = tmp_path / "crossrec.toml"
    file.write_text(text)
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        load_settings()


def test_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file that is not there is not silently left out."""
    monkeypatch.setenv("CROSSREC_CONFIG", "/nowhere/crossrec.toml")
    with pytest.raises(ConfigurationError, match=r"no file /nowhere/crossrec\.toml"):
        load_settings()


def test_known_data_set_brings_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete Journey has weeks for half-lives; any other name changes nothing."""
    monkeypatch.setenv("CROSSREC_CONFIG", "")
    monkeypatch.delenv("CROSSREC_CONFIG")
    assert 604800.0 == load_settings("completejourney").features.half_lives_s[0]
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    assert 3600.0 == load_settings("mine").features.half_lives_s[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('label_events = ["rating"]', "rating_threshold is missing, but label_events names rating"),
        ('label_events = ["impression"]', "dataset.label_events.0: Input should be 'click'"),
        ("train_share = 0.9\nvalidation_share = 0.1", "leave nothing to test on"),
        ("test_from = 2026-01-01T00:00:00Z", "validation_from and test_from go together"),
        (
            "validation_from = 2026-02-01T00:00:00Z\ntest_from = 2026-01-01T00:00:00Z",
            "test_from must be later than validation_from",
        ),
        (
            'split = "user"\nvalidation_from = 2026-01-01T00:00:00Z\ntest_from = 2026-02-01T00:00:00Z',
            "validation_from and test_from need split = time",
        ),
    ],
)
def test_contradicting_dataset_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """Labels and splits are made as told, or not at all."""
    file = tmp_path / "crossrec.toml"
    file.write_text(f"[dataset]\n{text}\n")
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=message):
        load_settings()
