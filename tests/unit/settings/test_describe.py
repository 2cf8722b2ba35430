"""What `crossrec settings` prints."""

import pytest

from services.settings.describe import describe_settings
from services.settings.load import Settings, load_settings

PLANTED = "hunter2-7f3e91"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file from the caller's environment."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)


def test_every_setting_has_a_meaning() -> None:
    """`crossrec settings` prints a name, a default and a meaning of each."""
    found = {setting.name: setting for setting in describe_settings(Settings())}
    assert [] == [name for name, setting in found.items() if not setting.meaning]
    assert (4, 4) == (found["kafka.partitions"].value, found["kafka.partitions"].default)
    assert ("by rule", "200000") == (found["training.batch_rows"].value, found["training.buffer_rows"].default)
    assert "shortest first" in found["features.half_lives_s"].meaning


@pytest.mark.parametrize(
    "name",
    [
        "KAFKA__SASL_PASSWORD",
        "STORE__PASSWORD",
        "STORE__URL",
        "REGISTRY_DIR",
    ],
)
def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Wherever settings are printed, also within URLs."""
    urls = {"STORE__URL": f"a:1,password={PLANTED}", "REGISTRY_DIR": f"s3://me:{PLANTED}@bucket/x"}
    monkeypatch.setenv(f"CROSSREC_{name}", urls.get(name, PLANTED))
    if name.startswith("KAFKA"):
        monkeypatch.setenv("CROSSREC_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
        monkeypatch.setenv("CROSSREC_KAFKA__SASL_USERNAME", "me")
    found = load_settings()
    lines = [f"{setting.name} {setting.value} {setting.default}" for setting in describe_settings(found)]
    assert 1 == sum("****" in line for line in lines)
    assert PLANTED not in "\n".join(lines)
    assert name == "REGISTRY_DIR" or PLANTED not in repr(found)
