"""JSON Web Tokens: which are accepted, and which caller they identify."""

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
from tests.unit.server.security.signing import AUDIENCE, ISSUER, KEYS, claims, key_set, public_key, sign_token

RULES = JwtRules(ISSUER, AUDIENCE, 30.0)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_has_subject_scopes_and_expiry(algorithm: str) -> None:
    """Unknown scopes are left out."""
    content = claims("openid rank publish", exp=2_000_000_000)
    caller = verify(sign_token(content, algorithm), parse_keys(key_set()), RULES)
    assert ("shop", {Scope.RANK, Scope.PUBLISH}, 2_000_000_030.0) == (caller.name, caller.scopes, caller.expires_s)


def test_a_single_key_verifies_tokens_without_a_key_id() -> None:
    """With several keys, such a token is rejected."""
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
def test_a_token_with_wrong_or_missing_claims_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match=r"^the token is not valid$"):
        verify(sign_token(claims(**changes)), parse_keys(key_set()), RULES)


def test_clocks_may_differ_by_the_leeway() -> None:
    keys = parse_keys(key_set())
    assert "shop" == verify(sign_token(claims(expires_in_s=-20, nbf=time.time() + 20)), keys, RULES).name
    with pytest.raises(TokenExpired):
        verify(sign_token(claims(expires_in_s=-40)), keys, RULES)


def sign_with_hmac(secret: bytes) -> str:
    """By hand: PyJWT rejects a public key as a shared secret."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "RS256"}, claims())]
    content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (content + b"." + base64.urlsafe_b64encode(hmac.digest(secret, content, "sha256")).rstrip(b"=")).decode()


def test_a_token_signed_with_a_public_key_as_a_secret_is_rejected() -> None:
    """The algorithm confusion attack: the public key is used as a shared secret."""
    public = KEYS["RS256"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for forged in (
        sign_with_hmac(public),
        jwt.encode(claims(), None, "none", {"kid": "RS256"}),
        sign_token(claims(), "EdDSA", kid="RS256"),
    ):
        with pytest.raises(Unauthenticated):
            verify(forged, parse_keys(key_set()), RULES)


def test_a_modified_token_is_rejected() -> None:
    head, _, signature = sign_token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims("admin")).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        verify(f"{head}.{body}.{signature}", parse_keys(key_set()), RULES)


@pytest.mark.parametrize("token", ["", "a.b.c", "..", "é.é.é", "\ud800", "e30.e30.e30", "." * 5000, "[" * 9000 + "..."])
def test_garbage_is_rejected(token: str) -> None:
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
def test_unusable_key_sets_are_rejected_without_showing_their_content(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^security.jwks_file: .*{reason}") as caught:
        parse_keys(text)
    assert "c2VjcmV0" not in str(caught.value)
