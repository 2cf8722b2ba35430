"""From tokens to callers, however often they are asked for."""

import time
from pathlib import Path

import pytest

from services.errors import TokenExpired, Unauthenticated
from services.server.security import jwts, verifier
from services.server.security.caller import Scope
from services.server.security.tokens import new_token, parse_tokens
from services.server.security.verifier import JwtSigners, TokenVerifier
from services.server.security.watched_files import WatchedFiles
from tests.unit.server.security.signing import AUDIENCE, ISSUER, claims, signed, write_keys

RANK = frozenset({Scope.RANK})


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "jwks.json")


def signers(path: Path) -> JwtSigners:
    keys = WatchedFiles("jwks", [path], lambda: jwts.parse_keys(path.read_text()), check_interval_s=0.0)
    return JwtSigners(keys, jwts.JwtRules(ISSUER, AUDIENCE, 0.0))


def listed(path: Path) -> "WatchedFiles[verifier.Tokens]":
    return WatchedFiles("tokens", [path], lambda: parse_tokens(path.read_text()), check_interval_s=0.0)


def test_both_kinds_of_tokens_are_known(tmp_path: Path, jwks: Path) -> None:
    token, line = new_token("listed", RANK)
    (tmp_path / "tokens").write_text(line)
    known = TokenVerifier(listed(tmp_path / "tokens"), signers(jwks))
    assert ("listed", "shop") == (known.caller(token).name, known.caller(signed()).name)
    for other in ("crossrec_unknown", signed(claims(aud="another"))):
        with pytest.raises(Unauthenticated):
            known.caller(other)


def test_a_withdrawn_token_is_none(tmp_path: Path) -> None:
    token, line = new_token("listed", RANK)
    path = tmp_path / "tokens"
    path.write_text(line)
    known = TokenVerifier(listed(path), None)
    assert "listed" == known.caller(token).name
    path.write_text("# nobody")
    with pytest.raises(Unauthenticated):
        known.caller(token)


def test_a_verified_token_ends_with_its_time(jwks: Path) -> None:
    """It is verified once, but its end is looked at each time."""
    now = [time.time()]
    known, token = TokenVerifier(None, signers(jwks), lambda: now[0]), signed(claims(expires_in_s=60))
    assert known.caller(token) is known.caller(token)
    now[0] += 61
    with pytest.raises(TokenExpired):
        known.caller(token)


def test_tokens_of_a_key_that_is_gone_are_none(jwks: Path) -> None:
    """Though they were verified before."""
    known, token = TokenVerifier(None, signers(jwks)), signed()
    assert "shop" == known.caller(token).name
    write_keys(jwks, "RS256")
    with pytest.raises(Unauthenticated):
        known.caller(token)


def test_what_is_remembered_is_bounded(jwks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MAX_CACHED", 2)
    known = TokenVerifier(None, signers(jwks))
    tokens = [signed(claims(sub=f"user {number}")) for number in range(3)]
    first = [known.caller(token) for token in tokens]
    again = [known.caller(token) for token in (tokens[2], tokens[0])]
    assert again == [first[2], first[0]]
    assert (True, False) == (again[0] is first[2], again[1] is first[0])
