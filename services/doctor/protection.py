"""Checks of the settings' security: whether its files can be used, for how long, and what is open."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from services.doctor.check import Check, ok, warning, wrong
from services.errors import ConfigurationError
from services.server.security.protection import open_protection
from services.settings.load import Settings
from services.settings.security import SecuritySettings

SOON = timedelta(days=14)
"""A certificate that ends so soon should have been replaced."""

LOOPBACK = ("127.", "localhost:", "[::1]:")


def protection_checks(settings: Settings) -> Iterator[Check]:
    """Who could reach the servers, and what they need."""
    security = settings.security
    try:
        open_protection(security)
    except ConfigurationError as error:
        yield wrong("security", str(error), "mend the file, or the setting: servers do not start like this")
        return
    there = {"TLS": security.certificate_file, "tokens": security.needs_tokens}
    lacks = [what for what, is_there in there.items() if not is_there]
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
        yield warning("certificate", until, "replace it: servers take the new one without a restart")
    else:
        yield ok("certificate", until)
