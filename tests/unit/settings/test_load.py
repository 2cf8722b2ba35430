"""Settings from environment and file."""

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.features.config import Attribute
from services.settings.load import Settings, described, load_settings


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


PLANTED = "hunter2-7f3e91"


@pytest.mark.parametrize(
    "name",
    [
        "KAFKA__SASL_PASSWORD",
        "STORE__PASSWORD",
        "STORE__URL",
        "REGISTRY_DIR",
    ],
)
def test_secrets_are_stars(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Wherever settings are shown, also in addresses that hold one."""
    addresses = {"STORE__URL": f"a:1,password={PLANTED}", "REGISTRY_DIR": f"s3://me:{PLANTED}@bucket/x"}
    monkeypatch.setenv(f"CROSSREC_{name}", addresses.get(name, PLANTED))
    if name.startswith("KAFKA"):
        monkeypatch.setenv("CROSSREC_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
        monkeypatch.setenv("CROSSREC_KAFKA__SASL_USERNAME", "me")
    found = load_settings()
    lines = [f"{setting.name} {setting.value} {setting.default}" for setting in described(found)]
    assert 1 == sum("****" in line for line in lines)
    assert PLANTED not in "\n".join(lines)
    assert name == "REGISTRY_DIR" or PLANTED not in repr(found)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("KAFKA__SASL_PASSWORD", "kafka: Value error, security_protocol SASL"),
        ("KAFKA__SASL_PASWORD", "kafka.sasl_pasword: Extra inputs are not permitted"),
        ("KAFKA__PARTITIONS", "kafka.partitions: Input should be a valid integer"),
        ("SECURITY__JWT_LEEWAY_S", "security.jwt_leeway_s: Input should be a valid number"),
        ("SECURITY__CERTIFICATE_FILE", "security: Value error, certificate_file and key_file go together"),
    ],
)
def test_errors_do_not_show_what_was_given(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    """It may be a secret under a wrong name."""
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
def test_half_a_protection_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    """What is named is in force, or the process does not start."""
    file = tmp_path / "crossrec.toml"
    file.write_text(f"[security]\n{text}\n")
    monkeypatch.setenv("CROSSREC_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=message):
        load_settings()


def test_an_empty_variable_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_SECURITY__TOKENS_FILE", "")
    assert not load_settings().security.needs_tokens
