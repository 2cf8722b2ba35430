"""JSON Web Tokens: which are accepted, and which caller they identify."""

import base64
import hmac
import json
import time
from contextlib import suppress
from random import Random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from services.errors import ConfigurationError, TokenExpired, Unauthenticated
from services.server.security.caller import Scope
from services.server.security.jwts import JwtRules, parse_keys, verify
from tests.unit.server.security.signing import AUDIENCE, ISSUER, KEYS, claims, key_set, public_key, sign_token

BAD_TIMES: tuple[Any, ...] = (10**400, 1e300, float("nan"), float("inf"), "2000000000", True, [2_000_000_000], {})

VALUES: tuple[Any, ...] = (
    *(*BAD_TIMES, None, "", "a", "\ud800", "\x00", 0, -1, 2.5, False, ["crossrec"], [None], [[]] * 3, {"a": []}),
    *("crossrec", "https://login.example", "ES256", "RS256", "none", "x" * 5000, 10**4000),
)
CLAIMS = ("exp", "nbf", "iat", "iss", "aud", "sub", "scope", "jti", "other")
HEADERS = ("kid", "alg", "typ", "crit", "b64", "jwk", "x5c", "other")
MEMBERS = ("kty", "crv", "alg", "kid", "use", "x", "y", "n", "e", "key_ops", "d")

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
        {"sub": "shop\n"},
        {"sub": "\ud800"},
        *({name: time} for name in ("exp", "nbf", "iat") for time in BAD_TIMES if time is not True),
        {"nbf": True},
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


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("time_s", [-1, -1e300, -(10**400)])
def test_a_negative_time_is_rejected(name: str, time_s: float) -> None:
    """A negative `exp` as expired."""
    with pytest.raises(Unauthenticated):
        verify(sign_token(claims(**{name: time_s})), parse_keys(key_set()), RULES)


def sign_anything(content: dict[str, Any], header: dict[str, Any]) -> str:
    """By hand: PyJWT does not encode every header and claim."""
    parts = [json.dumps(part).encode() for part in ({"alg": "ES256", "kid": "ES256", **header}, content)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = ECAlgorithm(SHA256).sign(signed, KEYS["ES256"])
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


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


STRANGE_KEYS: list[dict[str, Any]] = [
    {"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AAAA"},
    {"kty": "OKP", "crv": "Ed448", "kid": "448", "x": "AAAA"},
    {"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AAAA", "y": "AAAA"},
    {"kty": "RSA", "kid": "RS256"},
    {"kty": "RSA", "kid": "n", "n": 5, "e": []},
    {"kid": "empty"},
    {"kty": ["RSA"], "crv": {}, "alg": 7},
    public_key("RS256", alg="RS1"),
]


@pytest.mark.parametrize("strange", STRANGE_KEYS)
def test_a_key_of_an_unknown_kind_is_skipped_and_logged(
    strange: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A provider adds such a key while the others are in use (RFC 7517 section 5)."""
    keys = parse_keys(json.dumps({"keys": [strange, public_key("ES256")]}))
    assert "shop" == verify(sign_token(), keys, RULES).name
    assert ["ES256"] == list(keys)
    assert ["jwks_key_skipped"] == [record.message for record in caplog.records]


def test_an_rsa_key_below_2048_bits_verifies_nothing() -> None:
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505
    with pytest.raises(ConfigurationError, match="signing key 0 is an RSA key of 1024 bits, fewer than 2048"):
        parse_keys(json.dumps({"keys": [{**weak, "kid": "weak"}]}))
    assert ["ES256"] == list(parse_keys(json.dumps({"keys": [weak, public_key("ES256")]})))


@pytest.mark.parametrize("seed", range(20))
def test_a_token_of_any_form_has_a_caller_or_is_unauthenticated(seed: int) -> None:
    """Signed tokens with claims of every JSON type, and damaged ones: no other error ends a call."""
    random = Random(seed)
    keys = parse_keys(key_set())
    for _ in range(50):
        changes = {random.choice(CLAIMS): random.choice(VALUES) for _ in range(random.randrange(1, 4))}
        token = list(sign_anything(claims(**changes), {random.choice(HEADERS): random.choice(VALUES)}))
        for _ in range(random.randrange(3)):
            token[random.randrange(len(token))] = random.choice(".=A\x00\ud800é[")
        with suppress(Unauthenticated):
            caller = verify("".join(token), keys, RULES)
            assert caller.name.isprintable()
            assert caller.expires_s > time.time()


@pytest.mark.parametrize("seed", range(20))
def test_a_key_set_of_any_form_is_read_or_refused(seed: int) -> None:
    random = Random(seed)
    for _ in range(20):
        entries = [
            {**public_key(random.choice(list(KEYS))), random.choice(MEMBERS): random.choice(VALUES)} for _ in range(3)
        ]
        with suppress(ConfigurationError):
            assert parse_keys(json.dumps({"keys": entries}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a JSON Web Key Set"),
        ("[]", "is not a JSON Web Key Set"),
        ('{"keys": [1]}', "is not a JSON Web Key Set"),
        ("[" * 100_000, "is not a JSON Web Key Set"),
        ('{"keys": []}', "holds no signing key"),
        (json.dumps({"keys": [public_key("ES256", use="enc")]}), "holds no signing key"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "key 0 is secret"),
        (json.dumps({"keys": [public_key("ES256", d="c2VjcmV0")]}), "key 0 is secret"),
        (json.dumps({"keys": [public_key("ES256", alg="HS256")]}), "key 0 has no algorithm among"),
        (json.dumps({"keys": [public_key("ES256", x="c2VjcmV0")]}), "key 0 cannot be read"),
        (json.dumps({"keys": [public_key("ES256"), public_key("RS256", kid="ES256")]}), "key 1: kid repeats"),
    ],
)
def test_unusable_key_sets_are_rejected_without_showing_their_content(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^security.jwks_file: .*{reason}") as caught:
        parse_keys(text)
    assert "c2VjcmV0" not in str(caught.value)
