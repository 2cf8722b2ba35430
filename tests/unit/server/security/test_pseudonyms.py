"""What users are called inside."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.server.security.pseudonyms import Pseudonyms, open_pseudonyms
from services.settings.security import PrivacySettings

KEY, OLD = b"k" * 32, b"o" * 32


def written(path: Path, key: bytes) -> Path:
    path.write_bytes(key)
    return path


def test_a_pseudonym_is_half_of_a_keyed_hash() -> None:
    """128 bits of HMAC-SHA-256, as text that a URL may hold."""
    pseudonym = Pseudonyms((KEY,)).of("Ännchen")
    assert hmac.new(KEY, "Ännchen".encode(), hashlib.sha256).digest()[:16] == urlsafe_b64decode(pseudonym + "==")
    assert (22, True) == (len(pseudonym), set(pseudonym) <= set("-_") | {c for c in pseudonym if c.isalnum()})


def test_it_depends_on_key_and_user_alone() -> None:
    names = Pseudonyms((KEY, OLD))
    assert names.of("ann") == Pseudonyms((KEY,)).of("ann")
    assert 4 == len({names.of("ann"), names.of("bob"), Pseudonyms((OLD,)).of("ann"), "ann"})


def test_without_a_key_users_go_by_their_ids() -> None:
    assert ("ann", ("ann",)) == (Pseudonyms().of("ann"), Pseudonyms().all_of("ann"))


def test_earlier_names_come_after_the_present_one() -> None:
    expected = (Pseudonyms((KEY,)).of("ann"), Pseudonyms((OLD,)).of("ann"))
    assert expected == Pseudonyms((KEY, OLD)).all_of("ann")


def test_keys_do_not_show() -> None:
    """In whatever prints the object."""
    assert "kkk" not in repr(Pseudonyms((KEY,)))


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    """White space at their ends is not part of them: editors add it."""
    settings = PrivacySettings(
        pseudonym_key_file=written(tmp_path / "key", KEY + b"\n"),
        previous_pseudonym_key_files=(written(tmp_path / "old", OLD),),
    )
    assert Pseudonyms((KEY, OLD)) == open_pseudonyms(settings)
    assert Pseudonyms() == open_pseudonyms(PrivacySettings())


def test_bad_keys_are_refused_by_setting_and_file(tmp_path: Path) -> None:
    """What is in the file is not told."""
    short, good, absent = written(tmp_path / "short", b"secret\n"), written(tmp_path / "good", KEY), tmp_path / "absent"

    def refusal(key: Path | None, *previous: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            open_pseudonyms(PrivacySettings(pseudonym_key_file=key, previous_pseudonym_key_files=previous))
        return str(caught.value)

    assert f"privacy.pseudonym_key_file: {short} has 6 bytes, a key has at least 32" == refusal(short)
    assert f"privacy.pseudonym_key_file: cannot read {absent}: No such file or directory" == refusal(absent)
    assert refusal(good, short).startswith("privacy.previous_pseudonym_key_files: ")
    assert "privacy.previous_pseudonym_key_files: a key is named twice" == refusal(good, good)
    assert "privacy.previous_pseudonym_key_files: is set, but pseudonym_key_file is not" == refusal(None, good)
