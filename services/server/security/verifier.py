"""From a bearer token to its caller, in microseconds: listed tokens by their hashes, JWTs once and then by theirs."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import TokenExpired, Unauthenticated
from services.server.security import jwts
from services.server.security.caller import Caller
from services.server.security.tokens import Tokens, digest_of
from services.server.security.watched_files import Watched

CACHED = 10_000
"""JWTs that are remembered; the oldest makes room."""


@dataclass(frozen=True)
class Signers:
    """Who may sign JWTs, and what those must say."""

    keys: Watched[jwts.Keys]
    rules: jwts.Rules


class Verifier:
    """Knows tokens. Safe between threads.

    Args:
        tokens: the listed ones, if there are any.
        signers: whose JWTs count, if any do.
        clock_s: seconds since 1970.
    """

    def __init__(
        self, tokens: Watched[Tokens] | None, signers: Signers | None, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._tokens, self._signers, self._clock_s = tokens, signers, clock_s
        self._lock = threading.Lock()
        self._keys: jwts.Keys | None = None
        self._verified: dict[bytes, Caller] = {}

    def caller(self, token: str) -> Caller:
        """Whose token it is now. Raises Unauthenticated."""
        digest = digest_of(token)
        caller = self._tokens.current().get(digest) if self._tokens else None
        if caller is None:
            caller = self._signed(digest, token)
        if caller.expires_s <= self._clock_s():
            raise TokenExpired("the token has expired")
        return caller

    def _signed(self, digest: bytes, token: str) -> Caller:
        if self._signers is None:
            raise Unauthenticated(jwts.INVALID)
        keys = self._signers.keys.current()
        with self._lock:
            if keys is not self._keys:  # those that signed before may not count any more
                self._keys, self._verified = keys, {}
            caller = self._verified.get(digest)
        if caller is None:
            caller = jwts.verify(token, keys, self._signers.rules)
            self._remember(keys, digest, caller)
        return caller

    def _remember(self, keys: jwts.Keys, digest: bytes, caller: Caller) -> None:
        with self._lock:
            if keys is not self._keys:
                return
            if len(self._verified) >= CACHED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = caller
