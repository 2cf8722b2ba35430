"""JWT verification: keys of a JSON Web Key Set, signature and claims. Uses PyJWT; opens no connection.

Keys come from a file only. Only algorithms with a public key are accepted, and only those of the key that the token's
`kid` names: the algorithm in the token's header decides nothing (RFC 8725).
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
    """The keys of a JSON Web Key Set. Raises ConfigurationError with the key's position, without its content."""
    try:
        listed = json.loads(text)["keys"]
        entries = [entry for entry in listed if entry.get("use", "sig") == "sig"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError("security.jwks_file: is not a JSON Web Key Set") from None
    found: dict[str, JwtKey] = {}
    for number, entry in enumerate(entries):
        key_id, key = str(entry.get("kid", "")), _key(entry, f"security.jwks_file: signing key {number}")
        if key_id in found:
            raise ConfigurationError(f"security.jwks_file: signing key {number}: kid repeats that of an earlier key")
        found[key_id] = key
    if not found:
        raise ConfigurationError("security.jwks_file: holds no signing key")
    return found


def _key(entry: Mapping[str, Any], where: str) -> JwtKey:
    if entry.get("kty") == "oct" or "d" in entry:
        raise ConfigurationError(f"{where} is secret; use public keys only")
    named = entry.get("alg")
    fitting = RSA if entry.get("kty") == "RSA" else CURVES.get(str(entry.get("crv")), ())
    algorithms = [name for name in fitting if named in {None, name}]
    if not algorithms:
        raise ConfigurationError(f"{where} has no algorithm among {', '.join(sorted(ALGORITHMS))}")
    try:
        return JwtKey(jwt.PyJWK(dict(entry), algorithms[0]).key, algorithms)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{where} cannot be read") from None


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
    if not isinstance(scope, str) or not subject:
        raise Unauthenticated(INVALID)
    known = frozenset(Scope(word) for word in scope.split() if word in list(Scope))
    return Caller(subject, known, float(claims["exp"]) + leeway_s)
