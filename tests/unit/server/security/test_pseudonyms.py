"""Pseudonyms of users."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.server.security.pseudonyms import Pseudonymizer, open_pseudonymizer
from services.settings.security import PrivacySettings

KEY, OLD = b"k" * 32, b"o" * 32


def write_key(path: Path, key: bytes) -> Path:
    path.write_bytes(key)
    return path


def test_a_pseudonym_is_half_of_a_keyed_hash() -> None:
    """128 bits of HMAC-SHA-256, as text that a URL may hold."""
    pseudonym = Pseudonymizer((KEY,)).pseudonymize("Ännchen")
    assert hmac.new(KEY, "Ännchen".encode(), hashlib.sha256).digest()[:16] == urlsafe_b64decode(pseudonym + "==")
    assert (22, True) == (len(pseudonym), set(pseudonym) <= set("-_") | {c for c in pseudonym if c.isalnum()})


def test_a_pseudonym_depends_on_key_and_user_only() -> None:
    names = Pseudonymizer((KEY, OLD))
    assert names.pseudonymize("ann") == Pseudonymizer((KEY,)).pseudonymize("ann")
    assert 4 == len(
        {names.pseudonymize("ann"), names.pseudonymize("bob"), Pseudonymizer((OLD,)).pseudonymize("ann"), "ann"}
    )


def test_without_a_key_the_user_id_is_the_pseudonym() -> None:
    assert ("ann", ("ann",)) == (Pseudonymizer().pseudonymize("ann"), Pseudonymizer().all_pseudonyms("ann"))


def test_previous_pseudonyms_follow_the_current_one() -> None:
    expected = (Pseudonymizer((KEY,)).pseudonymize("ann"), Pseudonymizer((OLD,)).pseudonymize("ann"))
    assert expected == Pseudonymizer((KEY, OLD)).all_pseudonyms("ann")


def test_keys_are_not_in_the_repr() -> None:
    """Whatever prints the object does not print them."""
    assert "kkk" not in repr(Pseudonymizer((KEY,)))


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    """White space at the ends of a file is not part of the key: editors add it."""
    settings = PrivacySettings(
        pseudonym_key_file=write_key(tmp_path / "key", KEY + b"\n"),
        previous_pseudonym_key_files=(write_key(tmp_path / "old", OLD),),
    )
    assert Pseudonymizer((KEY, OLD)) == open_pseudonymizer(settings)
    assert Pseudonymizer() == open_pseudonymizer(PrivacySettings())


def test_invalid_keys_are_rejected_with_setting_and_file(tmp_path: Path) -> None:
    """The error does not contain the content of the file."""
    short, good, absent = (
        write_key(tmp_path / "short", b"secret\n"),
        write_key(tmp_path / "good", KEY),
        tmp_path / "absent",
    )

    def rejection(key: Path | None, *previous: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            open_pseudonymizer(PrivacySettings(pseudonym_key_file=key, previous_pseudonym_key_files=previous))
        return str(caught.value)

    assert f"privacy.pseudonym_key_file: {short} has 6 bytes, a key has at least 32" == rejection(short)
    assert f"privacy.pseudonym_key_file: cannot read {absent}: No such file or directory" == rejection(absent)
    assert rejection(good, short).startswith("privacy.previous_pseudonym_key_files: ")
    assert "privacy.previous_pseudonym_key_files: a key is named twice" == rejection(good, good)
    assert "privacy.previous_pseudonym_key_files: is set, but pseudonym_key_file is not" == rejection(None, good)
