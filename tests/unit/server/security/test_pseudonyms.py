"""What users are called inside."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.server.security.pseudonyms import Pseudonymizer, open_pseudonymizer
from services.settings.security import PrivacySettings

KEY, OLD = b"k" * 32, b"o" * 32


def written(path: Path, key: bytes) -> Path:
    path.write_bytes(key)
    return path


def test_a_pseudonym_is_half_of_a_keyed_hash() -> None:
    """128 bits of HMAC-SHA-256, as text that a URL may hold."""
    pseudonym = Pseudonymizer((KEY,)).pseudonymize("Ännchen")
    assert hmac.new(KEY, "Ännchen".encode(), hashlib.sha256).digest()[:16] == urlsafe_b64decode(pseudonym + "==")
    assert (22, True) == (len(pseudonym), set(pseudonym) <= set("-_") | {c for c in pseudonym if c.isalnum()})


def test_it_depends_on_key_and_user_alone() -> None:
    names = Pseudonymizer((KEY, OLD))
    assert names.pseudonymize("ann") == Pseudonymizer((KEY,)).pseudonymize("ann")
    assert 4 == len(
        {names.pseudonymize("ann"), names.pseudonymize("bob"), Pseudonymizer((OLD,)).pseudonymize("ann"), "ann"}
    )


def test_without_a_key_users_go_by_their_ids() -> None:
    assert ("ann", ("ann",)) == (Pseudonymizer().pseudonymize("ann"), Pseudonymizer().all_pseudonyms("ann"))


def test_earlier_names_come_after_the_present_one() -> None:
    expected = (Pseudonymizer((KEY,)).pseudonymize("ann"), Pseudonymizer((OLD,)).pseudonymize("ann"))
    assert expected == Pseudonymizer((KEY, OLD)).all_pseudonyms("ann")


def test_keys_do_not_show() -> None:
    """In whatever prints the object."""
    assert "kkk" not in repr(Pseudonymizer((KEY,)))


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    """White space at their ends is not part of them: editors add it."""
    settings = PrivacySettings(
        pseudonym_key_file=written(tmp_path / "key", KEY + b"\n"),
        previous_pseudonym_key_files=(written(tmp_path / "old", OLD),),
    )
    assert Pseudonymizer((KEY, OLD)) == open_pseudonymizer(settings)
    assert Pseudonymizer() == open_pseudonymizer(PrivacySettings())


def test_bad_keys_are_refused_by_setting_and_file(tmp_path: Path) -> None:
    """What is in the file is not told."""
    short, good, absent = written(tmp_path / "short", b"secret\n"), written(tmp_path / "good", KEY), tmp_path / "absent"

    def refusal(key: Path | None, *previous: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            open_pseudonymizer(PrivacySettings(pseudonym_key_file=key, previous_pseudonym_key_files=previous))
        return str(caught.value)

    assert f"privacy.pseudonym_key_file: {short} has 6 bytes, a key has at least 32" == refusal(short)
    assert f"privacy.pseudonym_key_file: cannot read {absent}: No such file or directory" == refusal(absent)
    assert refusal(good, short).startswith("privacy.previous_pseudonym_key_files: ")
    assert "privacy.previous_pseudonym_key_files: a key is named twice" == refusal(good, good)
    assert "privacy.previous_pseudonym_key_files: is set, but pseudonym_key_file is not" == refusal(None, good)
