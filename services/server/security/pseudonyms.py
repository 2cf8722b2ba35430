"""What users are called inside: by their own ids, or by pseudonyms that only who has the key can make of them.

A pseudonym is HMAC-SHA-256 of the user's id under a secret key, shortened to 128 bits, as 22 characters of URL-safe
base64. Gateway and ranking server make it of every id that comes in, so that Kafka and the online store never hold
the id itself. Knows nothing of events, rankings or rows.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.errors import ConfigurationError
from services.settings.security import PrivacySettings

MIN_KEY_BYTES = 32
"""As long as the hash: a shorter key would be the weakest part."""

PSEUDONYM_BYTES = 16
"""128 bits: with 10^9 users the chance that two share a pseudonym is 10^-21."""


@dataclass(frozen=True)
class Pseudonyms:
    """Names users.

    Args:
        keys: the present key, then those of before; empty: users go by their own ids.
    """

    keys: tuple[bytes, ...] = field(default=(), repr=False)

    def of(self, user_id: str) -> str:
        """What the user is called."""
        return _pseudonym(self.keys[0], user_id) if self.keys else user_id

    def all_of(self, user_id: str) -> tuple[str, ...]:
        """What the user is called, then what they were called under earlier keys."""
        return tuple(_pseudonym(key, user_id) for key in self.keys) or (user_id,)


def open_pseudonyms(settings: PrivacySettings) -> Pseudonyms:
    """The keys of the settings, read. Raises ConfigurationError, which names the setting."""
    present, previous = settings.pseudonym_key_file, settings.previous_pseudonym_key_files
    if present is None:
        if previous:
            raise ConfigurationError("privacy.previous_pseudonym_key_files: is set, but pseudonym_key_file is not")
        return Pseudonyms()
    keys = [_key("privacy.pseudonym_key_file", present)]
    keys += [_key("privacy.previous_pseudonym_key_files", path) for path in previous]
    _check_different(keys)
    return Pseudonyms(tuple(keys))


def _pseudonym(key: bytes, user_id: str) -> str:
    digest = hmac.digest(key, user_id.encode(), "sha256")
    return urlsafe_b64encode(digest[:PSEUDONYM_BYTES])[:-2].decode()


def _key(setting: str, path: Path) -> bytes:
    """What the file holds, without white space at its ends."""
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
