"""Verifies bearer tokens in microseconds: static tokens by their hashes, JWTs once and then from a cache."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import TokenExpired, Unauthenticated
from services.server.security import jwts
from services.server.security.caller import Caller
from services.server.security.tokens import Tokens, digest_of
from services.server.security.watched_files import WatchedFiles

MAX_CACHED = 10_000
"""Verified JWTs in the cache; the oldest is evicted."""


@dataclass(frozen=True)
class JwtSigners:
    """The public keys that may sign JWTs, and the rules for their claims."""

    keys: WatchedFiles[jwts.JwtKeys]
    rules: jwts.JwtRules


class TokenVerifier:
    """Finds the caller of a token. Thread-safe.

    Args:
        tokens: the static tokens; None: there are none.
        signers: the accepted signers of JWTs; None: no JWT is accepted.
        clock_s: seconds since 1970.
    """

    def __init__(
        self, tokens: WatchedFiles[Tokens] | None, signers: JwtSigners | None, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._tokens, self._signers, self._clock_s = tokens, signers, clock_s
        self._lock = threading.Lock()
        self._keys: jwts.JwtKeys | None = None
        self._verified: dict[bytes, Caller] = {}

    def caller(self, token: str) -> Caller:
        """The caller of a token. Raises Unauthenticated; TokenExpired if it was valid once."""
        digest = digest_of(token)
        caller = self._tokens.current().get(digest) if self._tokens else None
        if caller is None:
            caller = self._verify_jwt(digest, token)
        if caller.expires_s <= self._clock_s():
            raise TokenExpired("the token has expired")
        return caller

    def _verify_jwt(self, digest: bytes, token: str) -> Caller:
        if self._signers is None:
            raise Unauthenticated(jwts.INVALID)
        keys = self._signers.keys.current()
        with self._lock:
            if keys is not self._keys:  # earlier keys may have been withdrawn
                self._keys, self._verified = keys, {}
            caller = self._verified.get(digest)
        if caller is None:
            caller = jwts.verify(token, keys, self._signers.rules)
            self._cache(keys, digest, caller)
        return caller

    def _cache(self, keys: jwts.JwtKeys, digest: bytes, caller: Caller) -> None:
        with self._lock:
            if keys is not self._keys:
                return
            if len(self._verified) >= MAX_CACHED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = caller
