"""Settings from environment and file."""

import copy
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.features.config import Attribute
from services.settings.load import load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)


def test_environment_overrides_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        (
            "[kafka]\npartitons = 8\n",
            r"kafka.partitons: no such setting; the nearest is kafka.partitions \(from .*crossrec.toml",
        ),
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
    with pytest.raises(ConfigurationError, match=message):
        load_settings()


def test_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing settings file is not silently ignored."""
    monkeypatch.setenv("CROSSREC_CONFIG", "/nowhere/crossrec.toml")
    with pytest.raises(ConfigurationError, match=r"no file /nowhere/crossrec\.toml"):
        load_settings()


def test_known_data_set_brings_its_settings() -> None:
    """Complete Journey has weeks for half-lives; any other name changes nothing."""
    assert 604800.0 == load_settings("completejourney").features.half_lives_s[0]
    assert 3600.0 == load_settings("mine").features.half_lives_s[0]
    assert 3600.0 == load_settings().features.half_lives_s[0]


def test_the_environment_overrides_the_file_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single variables override values of the file, CROSSREC_CONFIG replaces it."""
    monkeypatch.setenv("CROSSREC_FEATURES__USER_ITEMS", "7")
    features = load_settings("completejourney").features
    assert (7, 604800.0) == (features.user_items, features.half_lives_s[0])
    file = tmp_path / "crossrec.toml"
    file.write_text("[features]\nhalf_lives_s = [60.0]\n")
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    assert (60.0,) == load_settings("completejourney").features.half_lives_s


def test_loading_leaves_the_environment_unchanged() -> None:
    """The settings of a data set are in the result only: later loads and child processes do not inherit them."""
    before = dict(os.environ)
    load_settings("completejourney")
    assert before == dict(os.environ)


def test_a_worker_process_gets_the_settings_of_the_data_set() -> None:
    """Commands pass the settings to the processes that they start, as backfill does."""
    settings = load_settings("completejourney")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert settings == pool.submit(copy.copy, settings).result()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('label_events = ["rating"]', "rating_threshold is missing, but label_events contains rating"),
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
    """Labels and splits are made as configured, or loading fails."""
    file = tmp_path / "crossrec.toml"
    file.write_text(f"[dataset]\n{text}\n")
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=message):
        load_settings()


@pytest.mark.parametrize("text", ["[dataset]\nrating_threshold = 4", "[features.liked_from]\nrating = 4.0"])
def test_what_is_positive_is_what_is_liked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The threshold of labels and that of features are one, whichever of the two is given."""
    file = tmp_path / "crossrec.toml"
    file.write_text(text)
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    settings = load_settings()
    assert {"rating": 4.0} == settings.features.liked_from
    assert 4.0 == settings.dataset.rating_threshold
    monkeypatch.setenv("CROSSREC_DATASET__RATING_THRESHOLD", "3.5")
    monkeypatch.setenv("CROSSREC_FEATURES__LIKED_FROM__RATING", "4")
    with pytest.raises(
        ConfigurationError, match=r"features.liked_from.rating is 4, but dataset.rating_threshold 3.5: they are the"
    ):
        load_settings()


def test_a_threshold_that_is_no_number_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like every setting."""
    monkeypatch.setenv("CROSSREC_FEATURES__LIKED_FROM__RATING", "good")
    with pytest.raises(ConfigurationError, match=r"features\.liked_from\.rating: .*CROSSREC_FEATURES__LIKED_FROM"):
        load_settings()


PLANTED = "hunter2-7f3e91"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("KAFKA__SASL_PASSWORD", "kafka: security_protocol SASL"),
        ("KAFKA__SASL_PASWORD", "SASL_PASWORD: no such setting; the nearest is CROSSREC_KAFKA__SASL_PASSWORD"),
        ("RANKING__PROVIDERS", "CROSSREC_RANKING__PROVIDERS: found text of 14 characters, which is not JSON"),
        ("FEATURES__ENGAGEMENT", r"valid dictionary; expected JSON like {"),
        ("RANKING__CANDIDATE_BUCKETS", r"expected JSON like \["),
        ("KAFKA", "CROSSREC_KAFKA: found text of 14 characters, which is not JSON"),
        ("STORE__URL", "store.url: is not host:port, like .*expected .*redis://"),
        ("GATEWAY__LISTEN", "gateway.listen: is not host:port"),
        ("KAFKA__PARTITIONS", "kafka.partitions: Input should be a valid integer"),
        ("SECURITY__JWT_LEEWAY_S", "security.jwt_leeway_s: Input should be a valid number"),
        ("SECURITY__CERTIFICATE_FILE", "security: certificate_file and key_file go together"),
    ],
)
def test_errors_do_not_show_the_given_value(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    """The value may be a secret under a wrong name."""
    monkeypatch.setenv(f"CROSSREC_{name}", PLANTED)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_settings()
    assert PLANTED not in f"{caught.value} {caught.value.__cause__!s} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('certificate_file = "a"', "certificate_file and key_file go together"),
        ('client_ca_file = "a"', "client_ca_file and require_client_certificate go together"),
        ("require_client_certificate = true", "client_ca_file and require_client_certificate go together"),
        ('client_ca_file = "a"\nrequire_client_certificate = true', "client_ca_file needs certificate_file"),
        ('jwks_file = "a"', "jwks_file, jwt_issuer and jwt_audience go together"),
        ('jwks_file = "a"\njwt_issuer = "b"', "jwks_file, jwt_issuer and jwt_audience go together"),
        ('jwt_issuer = "a"\njwt_audience = "b"', "jwks_file, jwt_issuer and jwt_audience go together"),
    ],
)
def test_incomplete_security_settings_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """A configured protection is in force, or the process does not start."""
    file = tmp_path / "crossrec.toml"
    file.write_text(f"[security]\n{text}\n")
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=message):
        load_settings()


def test_an_empty_variable_means_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_SECURITY__TOKENS_FILE", "")
    assert not load_settings().security.needs_tokens
