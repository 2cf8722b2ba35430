"""JSON Web Tokens: which count, and whose they are."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.errors import ConfigurationError, TokenExpired, Unauthenticated
from services.server.security.caller import Scope
from services.server.security.jwts import JwtRules, parse_keys, verify
from tests.unit.server.security.signing import AUDIENCE, ISSUER, KEYS, claims, key_set, public_key, signed

RULES = JwtRules(ISSUER, AUDIENCE, 30.0)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_tells_subject_scopes_and_end(algorithm: str) -> None:
    """Scopes of others are left out."""
    content = claims("openid rank publish", exp=2_000_000_000)
    caller = verify(signed(content, algorithm), parse_keys(key_set()), RULES)
    assert ("shop", {Scope.RANK, Scope.PUBLISH}, 2_000_000_030.0) == (caller.name, caller.scopes, caller.expires_s)


def test_a_key_without_id_serves_tokens_without_id() -> None:
    """There is only one that it could be."""
    keys = parse_keys(key_set("ES256"))
    token = jwt.encode(claims(), KEYS["ES256"], "ES256")
    assert "shop" == verify(token, keys, RULES).name
    with pytest.raises(Unauthenticated):
        verify(token, parse_keys(key_set()), RULES)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://else.example"},
        {"aud": "another"},
        {"iss": None},
        {"aud": None},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"nbf": time.time() + 600},
        {"scope": ["rank"]},
        {"exp": "soon"},
    ],
)
def test_claims_that_are_wrong_or_missing_make_no_token(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match=r"^the token is not valid$"):
        verify(signed(claims(**changes)), parse_keys(key_set()), RULES)


def test_clocks_may_differ_by_the_leeway() -> None:
    keys = parse_keys(key_set())
    assert "shop" == verify(signed(claims(expires_in_s=-20, nbf=time.time() + 20)), keys, RULES).name
    with pytest.raises(TokenExpired):
        verify(signed(claims(expires_in_s=-40)), keys, RULES)


def hmac_signed(secret: bytes) -> str:
    """By hand: PyJWT knows this trick, too, and does not sign."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "RS256"}, claims())]
    content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (content + b"." + base64.urlsafe_b64encode(hmac.digest(secret, content, "sha256")).rstrip(b"=")).decode()


def test_a_token_that_is_signed_with_a_public_key_as_a_secret_is_none() -> None:
    """The old confusion: what everybody knows, taken for a shared secret."""
    public = KEYS["RS256"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for forged in (
        hmac_signed(public),
        jwt.encode(claims(), None, "none", {"kid": "RS256"}),
        signed(claims(), "EdDSA", kid="RS256"),
    ):
        with pytest.raises(Unauthenticated):
            verify(forged, parse_keys(key_set()), RULES)


def test_a_token_that_was_changed_is_none() -> None:
    head, _, signature = signed().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims("admin")).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        verify(f"{head}.{body}.{signature}", parse_keys(key_set()), RULES)


@pytest.mark.parametrize("token", ["", "a.b.c", "..", "é.é.é", "\ud800", "e30.e30.e30", "." * 5000, "[" * 9000 + "..."])
def test_garbage_is_no_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(token, parse_keys(key_set()), RULES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a JSON Web Key Set"),
        ("[]", "is not a JSON Web Key Set"),
        ('{"keys": [1]}', "is not a JSON Web Key Set"),
        ('{"keys": []}', "holds no signing key"),
        (json.dumps({"keys": [public_key("ES256", use="enc")]}), "holds no signing key"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "key 0 is secret"),
        (json.dumps({"keys": [public_key("ES256", d="c2VjcmV0")]}), "key 0 is secret"),
        (json.dumps({"keys": [public_key("ES256", alg="HS256")]}), "key 0 has no algorithm"),
        (json.dumps({"keys": [public_key("ES256", x="c2VjcmV0")]}), "key 0 cannot be read"),
        (json.dumps({"keys": [public_key("ES256"), public_key("RS256", kid="ES256")]}), "key 1: kid repeats"),
    ],
)
def test_key_sets_that_cannot_be_used_are_named_without_their_content(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^security.jwks_file: .*{reason}") as caught:
        parse_keys(text)
    assert "c2VjcmV0" not in str(caught.value)
