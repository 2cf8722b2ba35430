"""Scopes of clients by the names in their certificates: the file that lists them, and who may call now.

A line is one of the tokens file without `sha256`. Removing a line withdraws its scopes at once, whatever the
certificate's own validity; the TLS library itself asks for no revocation list.
"""

import json
import time
from collections.abc import Callable, Mapping

from services.errors import ConfigurationError, PermissionDenied, TokenExpired, Unauthenticated
from services.server.security.caller import Caller
from services.server.security.tokens import parse_caller, parsed_lines
from services.server.security.watched_files import WatchedFiles

SETTING = "security.certificate_scopes_file"

CertificateCallers = Mapping[str, Caller]
"""Callers by the name in their certificate."""


def parse_certificate_callers(text: str) -> CertificateCallers:
    """The callers of a file. Raises ConfigurationError with line and field, without their content."""
    found: dict[str, Caller] = {}
    for number, caller in parsed_lines(SETTING, text, lambda content: parse_caller(content, set())):
        if caller.name in found:
            raise ConfigurationError(f"{SETTING}: line {number}: name repeats that of an earlier line")
        found[caller.name] = caller
    return found


class CertificateVerifier:
    """Finds the caller of a certificate that TLS has verified. Thread-safe.

    Args:
        callers: the callers of the file.
        clock_s: seconds since 1970.
    """

    def __init__(self, callers: WatchedFiles[CertificateCallers], clock_s: Callable[[], float] = time.time) -> None:
        self._callers, self._clock_s = callers, clock_s

    def caller(self, name: str) -> Caller:
        """The caller with that name in its certificate. Raises Unauthenticated or PermissionDenied."""
        if not name:
            raise Unauthenticated("no token, and no name in a client certificate")
        caller = self._callers.current().get(name)
        if caller is None:
            raise PermissionDenied(f"the certificate of {json.dumps(name)} has no scopes")
        if caller.expires_s <= self._clock_s():
            raise TokenExpired("the scopes of the certificate have expired")
        return caller
