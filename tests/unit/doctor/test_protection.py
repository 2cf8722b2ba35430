"""Checks of certificates, tokens and open ports."""

from pathlib import Path

import pytest

from services.doctor.check import CheckState
from services.doctor.protection import protection_checks
from services.settings.load import Settings
from services.settings.processes import GatewaySettings
from services.settings.security import SecuritySettings
from tests.contract.certificates import Authority


def states(security: SecuritySettings, listen: str = "127.0.0.1:1") -> dict[str, CheckState]:
    settings = Settings(security=security, gateway=GatewaySettings(listen=listen))
    return {check.name: check.state for check in protection_checks(settings)}


@pytest.mark.parametrize(
    ("listen", "state"),
    [("127.0.0.1:1", CheckState.OK), ("localhost:1", CheckState.OK), ("0.0.0.0:1", CheckState.WARNING)],
)
def test_open_ports_beyond_loopback_are_a_warning(listen: str, state: CheckState) -> None:
    assert {"security": state} == states(SecuritySettings(), listen)


def test_a_certificate_that_expires_soon_is_a_warning(tmp_path: Path) -> None:
    """The certificates of the test are valid for a day."""
    certificate, key = Authority().sign("server").write(tmp_path, "server")
    (tmp_path / "tokens").write_text("# no tokens yet")
    security = SecuritySettings(certificate_file=certificate, key_file=key, tokens_file=tmp_path / "tokens")
    assert {"security": CheckState.OK, "certificate": CheckState.WARNING} == states(security, "0.0.0.0:1")


def test_unusable_files_are_wrong(tmp_path: Path) -> None:
    assert {"security": CheckState.WRONG} == states(SecuritySettings(tokens_file=tmp_path / "absent"))
