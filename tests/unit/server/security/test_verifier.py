"""Verification of tokens, and its cache."""

import time
from pathlib import Path

import pytest

from services.errors import TokenExpired, Unauthenticated
from services.server.security import jwts, verifier
from services.server.security.caller import Scope
from services.server.security.tokens import Tokens, new_token, parse_tokens
from services.server.security.verifier import JwtSigners, TokenVerifier
from services.server.security.watched_files import WatchedFiles
from tests.unit.server.security.signing import AUDIENCE, ISSUER, claims, sign_token, write_keys

RANK = frozenset({Scope.RANK})


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "jwks.json")


def watch_jwks(path: Path) -> JwtSigners:
    keys = WatchedFiles("jwks", [path], lambda: jwts.parse_keys(path.read_text()), check_interval_s=0.0)
    return JwtSigners(keys, jwts.JwtRules(ISSUER, AUDIENCE, 0.0))


def watch_tokens(path: Path) -> WatchedFiles[Tokens]:
    return WatchedFiles("tokens", [path], lambda: parse_tokens(path.read_text()), check_interval_s=0.0)


def test_both_kinds_of_tokens_are_accepted(tmp_path: Path, jwks: Path) -> None:
    token, line = new_token("listed", RANK)
    (tmp_path / "tokens").write_text(line)
    token_verifier = TokenVerifier(watch_tokens(tmp_path / "tokens"), watch_jwks(jwks))
    assert ("listed", "shop") == (token_verifier.caller(token).name, token_verifier.caller(sign_token()).name)
    for other in ("crossrec_unknown", sign_token(claims(aud="another"))):
        with pytest.raises(Unauthenticated):
            token_verifier.caller(other)


def test_a_revoked_token_is_rejected(tmp_path: Path) -> None:
    token, line = new_token("listed", RANK)
    path = tmp_path / "tokens"
    path.write_text(line)
    token_verifier = TokenVerifier(watch_tokens(path), None)
    assert "listed" == token_verifier.caller(token).name
    path.write_text("# no tokens")
    with pytest.raises(Unauthenticated):
        token_verifier.caller(token)


def test_a_cached_token_expires(jwks: Path) -> None:
    """It is verified once, but its expiry is checked at every call."""
    now = [time.time()]
    token_verifier, token = TokenVerifier(None, watch_jwks(jwks), lambda: now[0]), sign_token(claims(expires_in_s=60))
    assert token_verifier.caller(token) is token_verifier.caller(token)
    now[0] += 61
    with pytest.raises(TokenExpired):
        token_verifier.caller(token)


def test_tokens_of_a_removed_key_are_rejected(jwks: Path) -> None:
    """Even if they were verified before."""
    token_verifier, token = TokenVerifier(None, watch_jwks(jwks)), sign_token()
    assert "shop" == token_verifier.caller(token).name
    write_keys(jwks, "RS256")
    with pytest.raises(Unauthenticated):
        token_verifier.caller(token)


def test_the_cache_is_bounded(jwks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MAX_CACHED", 2)
    token_verifier = TokenVerifier(None, watch_jwks(jwks))
    tokens = [sign_token(claims(sub=f"user {number}")) for number in range(3)]
    first = [token_verifier.caller(token) for token in tokens]
    again = [token_verifier.caller(token) for token in (tokens[2], tokens[0])]
    assert again == [first[2], first[0]]
    assert (True, False) == (again[0] is first[2], again[1] is first[0])
