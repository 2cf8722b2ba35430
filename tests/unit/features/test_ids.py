"""The rules of ids: what is refused, and that all else stays as it is."""

import sys
import unicodedata

import pytest

from services.features.ids import MAX_ID_BYTES, find_id_fault

REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\0", "holds a control character, U+0000, after 0 characters; an id must not"),
        ("f1\x1ftv", "holds a control character, U+001F, after 2 characters; an id must not"),
        ("a\n", "holds a control character, U+000A, after 1 characters; an id must not"),
        ("\x1b[2J", "holds a control character, U+001B, after 0 characters; an id must not"),
        ("tv\u202e", "holds a format character, U+202E, after 2 characters; an id must not"),
        ("\ufefftv", "holds a format character, U+FEFF, after 0 characters; an id must not"),
        ("a\u2028", "holds a line separator, U+2028, after 1 characters; an id must not"),
        ("a\u2029", "holds a paragraph separator, U+2029, after 1 characters; an id must not"),
        ("\ud83d", "holds half of a surrogate pair, U+D83D, after 0 characters; an id must not"),
        ("x" * 129, "is 129 bytes long, at most 128"),
        ("ü" * 64 + "u", "is 129 bytes long, at most 128"),
    ],
)
def test_what_is_refused_is_named(text: str, fault: str) -> None:
    """Character, place and length, without the text itself, which a terminal might execute."""
    assert fault == find_id_fault(text)


@pytest.mark.parametrize(
    "text",
    ["a", " a", "007", "7", "é", "e\u0301", "a\u00a0b", "茶", "😀", "\U0010fffd", '"\\', "x" * MAX_ID_BYTES, "й" * 64],
)
def test_anything_that_can_be_seen_is_an_id(text: str) -> None:
    """Spaces of any kind, private and unassigned characters, composed and decomposed letters, leading zeros."""
    assert find_id_fault(text) is None


def test_every_character_is_judged_by_its_category() -> None:
    """The fast test accepts none that the rule refuses."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        refused = unicodedata.category(character) in REFUSED
        assert refused == (find_id_fault(f"a{character}") is not None), hex(number)
