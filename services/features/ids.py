"""The rules of ids, the same at every door: how long they are, and which characters they hold.

Control and format characters are refused: they cannot be seen, change how text around them is shown, and U+001F
separates ids in keys. Everything else stays as it is, and distinct: nothing is normalised, trimmed or folded.
"""

import unicodedata

MAX_ID_BYTES = 128
"""Longest id of an event, user, item or scenario, in UTF-8."""

MAX_STORED_ID_BYTES = 65_536
"""Longest id that can be erased: rows may be stored under ids from before the rules, or from another producer."""

SEPARATOR = "\x1f"
"""ASCII unit separator: joins ids and names in keys. No id holds it."""

_REFUSED = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
"""General categories of Unicode that ids must not hold."""


def find_id_fault(text: str) -> str | None:
    """Why the text is not an id, or None; the empty text has no fault here."""
    # All that is refused is not printable, and ids that are not printable are few.
    if not text.isprintable() and (fault := _find_refused_character(text)):
        return fault
    return find_length_fault(text, MAX_ID_BYTES)


def find_length_fault(text: str, max_bytes: int) -> str | None:
    """Why the text is too long, or None; the limit is in bytes of UTF-8."""
    if 4 * len(text) <= max_bytes:  # UTF-8 takes at most 4 bytes for a character
        return None
    size = len(text.encode())
    return f"is {size} bytes long, at most {max_bytes}" if size > max_bytes else None


def _find_refused_character(text: str) -> str | None:
    for place, character in enumerate(text):
        if what := _REFUSED.get(unicodedata.category(character)):
            return f"holds {what}, U+{ord(character):04X}, after {place} characters; an id must not"
    return None
