"""JWT verification: keys of a JSON Web Key Set, signature and claims. Uses PyJWT; opens no connection.

Keys come from a file only. Only algorithms with a public key are accepted, and only those of the key that the token's
`kid` names: the algorithm in the token's header decides nothing (RFC 8725). Keys of a kind that is not supported here
are skipped and logged (RFC 7517 section 5), so that a provider can add one without stopping the others.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.errors import ConfigurationError, TokenExpired, Unauthenticated
from services.server.logging import log_event
from services.server.security.caller import Caller, Scope

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
ALGORITHMS = {*RSA, *(name for names in CURVES.values() for name in names)}
REQUIRED = ("exp", "iss", "aud", "sub")

MIN_RSA_BITS = 2048
"""Shorter RSA keys are within reach of factoring (NIST SP 800-131A)."""

MAX_TIME_S = 253_402_300_800
"""End of the year 9999: later times in a token are mistakes, and as floats some of them cannot be held."""

INVALID = "the token is not valid"
"""The error of every invalid token: the reason would help only forgers."""


@dataclass(frozen=True)
class JwtKey:
    """A public key.

    Args:
        key: in the form of PyJWT's algorithms.
        algorithms: the accepted signature algorithms.
    """

    key: Any
    algorithms: Sequence[str]


_logger = logging.getLogger(__name__)

JwtKeys = Mapping[str, JwtKey]
"""Keys by their ids; "" for a key without one."""


@dataclass(frozen=True)
class JwtRules:
    """Rules for the claims of a token.

    Args:
        issuer: the required `iss`.
        audience: must be in `aud`.
        leeway_s: seconds by which clocks may differ.
    """

    issuer: str
    audience: str
    leeway_s: float


def parse_keys(text: str) -> JwtKeys:
    """The keys of a JSON Web Key Set that can verify signatures here; others are logged with the reason.

    Raises ConfigurationError, without a key's content, for what is no key set, holds a secret or an ambiguous key, or
    leaves no key.
    """
    try:
        listed = json.loads(text)["keys"]
        entries = [entry for entry in listed if entry.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigurationError("security.jwks_file: is not a JSON Web Key Set") from None
    found: dict[str, JwtKey] = {}
    skipped: list[str] = []
    for number, entry in enumerate(entries):
        where = f"security.jwks_file: signing key {number}"
        if entry.get("kty") == "oct" or "d" in entry:
            raise ConfigurationError(f"{where} is secret; use public keys only")
        key_id, key = str(entry.get("kid", "")), _key(entry)
        if isinstance(key, str):
            skipped.append(f"signing key {number} {key}")
            log_event(_logger, "jwks_key_skipped", level=logging.WARNING, key=number, kid=key_id, reason=key)
        elif key_id in found:
            raise ConfigurationError(f"{where}: kid repeats that of an earlier key")
        else:
            found[key_id] = key
    if not found:
        reasons = "".join(f"; {reason}" for reason in skipped)
        raise ConfigurationError(f"security.jwks_file: holds no signing key that can be used{reasons}")
    return found


def _key(entry: Mapping[str, Any]) -> JwtKey | str:
    """The key of an entry, or why it cannot be used."""
    named = entry.get("alg")
    fitting = RSA if entry.get("kty") == "RSA" else CURVES.get(str(entry.get("crv")), ())
    algorithms = [name for name in fitting if named in (None, name)]
    if not algorithms:
        return f"has no algorithm among {', '.join(sorted(ALGORITHMS))}"
    try:
        key = jwt.PyJWK(dict(entry), algorithms[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return "cannot be read"
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return f"is an RSA key of {key.key_size} bits, fewer than {MIN_RSA_BITS}"
    return JwtKey(key, algorithms)


def verify(token: str, keys: JwtKeys, rules: JwtRules) -> Caller:
    """The caller of a token. Raises TokenExpired, or Unauthenticated without the reason."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = next(iter(keys.values())) if key_id is None and len(keys) == 1 else keys.get(str(key_id))
        if key is None:
            raise Unauthenticated(INVALID)
        claims = jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_s,
            options={"require": list(REQUIRED)},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the token has expired") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthenticated(INVALID) from None
    return _caller(claims, rules.leeway_s)


def _caller(claims: Mapping[str, Any], leeway_s: float) -> Caller:
    scope, subject = claims.get("scope", ""), claims["sub"]
    times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    if not isinstance(scope, str) or not subject or not subject.isprintable() or not all(map(_is_time, times)):
        raise Unauthenticated(INVALID)
    known = frozenset(Scope(word) for word in scope.split() if word in list(Scope))
    return Caller(subject, known, float(claims["exp"]) + leeway_s)


def _is_time(value: object) -> bool:
    """Whether a claim is a NumericDate (RFC 7519): PyJWT also takes numbers in quotes, booleans and any magnitude."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_TIME_S
