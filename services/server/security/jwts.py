"""JSON Web Tokens: which keys sign them, and what their claims must be. Verifies with PyJWT; opens no connection.

Keys come from a file alone. Only algorithms with a public key count, and only those that fit the key that the token
names: what a token says of its algorithm chooses nothing (RFC 8725).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from services.errors import ConfigurationError, TokenExpired, Unauthenticated
from services.server.security.caller import Caller, Scope

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
ALGORITHMS = {*RSA, *(name for names in CURVES.values() for name in names)}
REQUIRED = ("exp", "iss", "aud", "sub")

INVALID = "the token is not valid"
"""What is said of every token that is none: why not would only help who makes them up."""


@dataclass(frozen=True)
class Key:
    """A public key.

    Args:
        key: as PyJWT's algorithms take it.
        algorithms: with which it may have signed.
    """

    key: Any
    algorithms: Sequence[str]


Keys = Mapping[str, Key]
"""Keys by their ids; "" for one without."""


@dataclass(frozen=True)
class Rules:
    """What a token's claims must be.

    Args:
        issuer: its `iss`.
        audience: in its `aud`.
        leeway_s: seconds by which clocks may differ.
    """

    issuer: str
    audience: str
    leeway_s: float


def parse_keys(text: str) -> Keys:
    """The keys of a JSON Web Key Set. Raises ConfigurationError with the key's place, without what is there."""
    try:
        listed = json.loads(text)["keys"]
        entries = [entry for entry in listed if entry.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError("security.jwks_file: is no JSON Web Key Set") from None
    found: dict[str, Key] = {}
    for number, entry in enumerate(entries):
        key_id, key = str(entry.get("kid", "")), _key(entry, f"security.jwks_file: signing key {number}")
        if key_id in found:
            raise ConfigurationError(f"security.jwks_file: signing key {number}: kid repeats that of an earlier key")
        found[key_id] = key
    if not found:
        raise ConfigurationError("security.jwks_file: holds no key for signatures")
    return found


def _key(entry: Mapping[str, Any], where: str) -> Key:
    if entry.get("kty") == "oct" or "d" in entry:
        raise ConfigurationError(f"{where} is secret; only public keys belong there")
    named = entry.get("alg")
    fitting = RSA if entry.get("kty") == "RSA" else CURVES.get(str(entry.get("crv")), ())
    algorithms = [name for name in fitting if named in {None, name}]
    if not algorithms:
        raise ConfigurationError(f"{where} has no algorithm among {', '.join(sorted(ALGORITHMS))}")
    try:
        return Key(jwt.PyJWK(dict(entry), algorithms[0]).key, algorithms)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{where} cannot be read") from None


def verify(token: str, keys: Keys, rules: Rules) -> Caller:
    """Whose token it is. Raises TokenExpired, or Unauthenticated without saying what is wrong."""
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
    if not isinstance(scope, str) or not subject:
        raise Unauthenticated(INVALID)
    known = frozenset(Scope(word) for word in scope.split() if word in list(Scope))
    return Caller(subject, known, float(claims["exp"]) + leeway_s)
