"""Pseudonyms of user ids: keyed hashes that replace the ids in Kafka and in the online store.

A pseudonym is HMAC-SHA-256 of the user's id under a secret key, truncated to 128 bits, as 22 characters of URL-safe
base64. Gateway and ranking server replace the id of every request, so that Kafka and the online store never hold it.
Without a key, ids stay as they are. Knows nothing of events, rankings or rows.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.errors import ConfigurationError
from services.settings.security import PrivacySettings

MIN_KEY_BYTES = 32
"""The length of the hash: a shorter key would be the weakest part."""

PSEUDONYM_BYTES = 16
"""128 bits: with 10^9 users the chance that two share a pseudonym is 10^-21."""


@dataclass(frozen=True)
class Pseudonymizer:
    """Replaces user ids by pseudonyms.

    Args:
        keys: the current key, then earlier ones; empty: ids stay as they are.
    """

    keys: tuple[bytes, ...] = field(default=(), repr=False)

    def pseudonymize(self, user_id: str) -> str:
        """The pseudonym of a user id under the current key."""
        return _pseudonym(self.keys[0], user_id) if self.keys else user_id

    def all_pseudonyms(self, user_id: str) -> tuple[str, ...]:
        """The pseudonym under the current key, then those under earlier keys."""
        return tuple(_pseudonym(key, user_id) for key in self.keys) or (user_id,)


def open_pseudonymizer(settings: PrivacySettings) -> Pseudonymizer:
    """Read the key files of the settings. Raises ConfigurationError, which names the setting."""
    current, previous = settings.pseudonym_key_file, settings.previous_pseudonym_key_files
    if current is None:
        if previous:
            raise ConfigurationError("privacy.previous_pseudonym_key_files: is set, but pseudonym_key_file is not")
        return Pseudonymizer()
    keys = [_read_key("privacy.pseudonym_key_file", current)]
    keys += [_read_key("privacy.previous_pseudonym_key_files", path) for path in previous]
    _check_different(keys)
    return Pseudonymizer(tuple(keys))


def _pseudonym(key: bytes, user_id: str) -> str:
    digest = hmac.digest(key, user_id.encode(), "sha256")
    return urlsafe_b64encode(digest[:PSEUDONYM_BYTES])[:-2].decode()


def _read_key(setting: str, path: Path) -> bytes:
    """The content of a key file, without white space at its ends."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}") from error
    if len(key) < MIN_KEY_BYTES:
        raise ConfigurationError(f"{setting}: {path} has {len(key)} bytes, a key has at least {MIN_KEY_BYTES}")
    return key


def _check_different(keys: Sequence[bytes]) -> None:
    if len(set(keys)) < len(keys):
        raise ConfigurationError("privacy.previous_pseudonym_key_files: a key is named twice")
