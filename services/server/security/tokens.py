"""Static bearer tokens: generates them, and parses the file that lists their hashes.

The file holds one JSON object per line; empty lines and lines that begin with # are skipped. A token has 256 random
bits, so SHA-256 is enough: it cannot be guessed, not even with the file. Slow hashes are for passwords that people
choose, and would cost milliseconds per call.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from services.errors import ConfigurationError
from services.server.security.caller import Caller, Scope

PREFIX = "crossrec_"
"""Tokens begin with this, so that scanners for leaked secrets find them."""

CALLER_FIELDS = {"name", "scopes", "expires"}

Parsed = TypeVar("Parsed")

Tokens = Mapping[bytes, Caller]
"""Callers by the digest of their token."""


def digest_of(token: str) -> bytes:
    """SHA-256 of a token, whatever its characters."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def new_token(name: str, scopes: frozenset[Scope], expires: datetime | None = None) -> tuple[str, str]:
    """A new token, and its line for the tokens file."""
    token = PREFIX + secrets.token_urlsafe(32)
    line: dict[str, Any] = {"name": name, "scopes": sorted(scopes), "sha256": digest_of(token).hex()}
    if expires:
        line["expires"] = expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return token, json.dumps(line, ensure_ascii=False)


def parse_tokens(text: str) -> Tokens:
    """The tokens of a file. Raises ConfigurationError with line and field, without their content."""
    found: dict[bytes, Caller] = {}
    for number, (digest, caller) in parsed_lines("security.tokens_file", text, _parse_token):
        if digest in found:
            raise ConfigurationError(f"security.tokens_file: line {number}: sha256 repeats that of an earlier line")
        found[digest] = caller
    return found


def parsed_lines(setting: str, text: str, parse: Callable[[dict[str, Any]], Parsed]) -> Iterator[tuple[int, Parsed]]:
    """Number and content of each line with a JSON object, the others skipped. Raises ConfigurationError with the line.

    `parse` raises ValueError, whose text does not quote the line.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield number, parse(_json_object(line))
        except ValueError as error:
            raise ConfigurationError(f"{setting}: line {number}: {error}") from None


def parse_caller(content: dict[str, Any], more: set[str]) -> Caller:
    """The caller of a line that may have `more` fields than a caller has. Raises ValueError."""
    known = CALLER_FIELDS | more
    if set(content) - known:
        raise ValueError(f"has fields other than {', '.join(sorted(known))}")
    return Caller(_name(content.get("name")), _scopes(content.get("scopes")), _expires_s(content.get("expires")))


def _json_object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        raise ValueError("is not a JSON object") from None
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - every error of a line is a ValueError
    return content


def _parse_token(content: dict[str, Any]) -> tuple[bytes, Caller]:
    caller = parse_caller(content, {"sha256"})
    return _digest(content.get("sha256")), caller


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("name must be printable text")
    return value


def _scopes(value: object) -> frozenset[Scope]:
    if not isinstance(value, list) or not value or not all(scope in list(Scope) for scope in value):
        raise ValueError(f"scopes must be a list of {', '.join(Scope)}")
    return frozenset(map(Scope, value))


def _digest(value: object) -> bytes:
    try:
        digest = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("sha256 must be 64 hexadecimal digits")
    return digest


def _expires_s(value: object) -> float:
    if value is None:
        return float("inf")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("expires must be a time with a time zone, like 2027-01-31T00:00:00Z")
    return moment.timestamp()
