"""Checks of the security settings: whether the files are valid, until when, and what is open."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from services.doctor.check import Check, ok, warning, wrong
from services.errors import ConfigurationError
from services.server.security.protection import open_protection
from services.settings.load import Settings
from services.settings.security import SecuritySettings

SOON = timedelta(days=14)
"""A certificate that expires within this time should be replaced."""

LOOPBACK = ("127.", "localhost:", "[::1]:")


def protection_checks(settings: Settings) -> Iterator[Check]:
    """Check TLS, tokens and who can reach the servers."""
    security = settings.security
    try:
        open_protection(security)
    except ConfigurationError as error:
        yield wrong("security", str(error), "fix the file or the setting: servers do not start with it")
        return
    configured = {"TLS": security.certificate_file, "tokens": security.needs_access}
    lacks = [what for what, is_set in configured.items() if not is_set]
    outside = [at for at in (settings.gateway.listen, settings.ranking.listen) if not at.startswith(LOOPBACK)]
    if lacks and outside:
        found = f"without {' and '.join(lacks)}, and reachable at {', '.join(outside)}"
        yield warning("security", found, "see services/server/security/README.md")
    else:
        yield ok("security", f"without {' and '.join(lacks)}, on loopback" if lacks else "TLS and tokens")
    yield from _certificate_checks(security, datetime.now(UTC))


def _certificate_checks(security: SecuritySettings, now: datetime) -> Iterator[Check]:
    if security.certificate_file is None:
        return
    ends = x509.load_pem_x509_certificates(security.certificate_file.read_bytes())[0].not_valid_after_utc
    until = f"valid until {ends:%Y-%m-%d %H:%M} UTC"
    if ends - now < SOON:
        yield warning("certificate", until, "replace it: servers load the new one without a restart")
    else:
        yield ok("certificate", until)
