"""The scripts of texts: Latin, Han, Cyrillic and so on, by ranges of code points. No language is guessed from them.

Letters alone count: digits, punctuation, symbols and emoji belong to all scripts. Ranges are those of the Unicode
blocks that hold a script's letters; a letter outside of them is of script "other".
"""

from bisect import bisect_right
from collections import Counter

OTHER = "other"
LATIN = "Latin"

_BLOCKS = (
    (0x0041, 0x024F, LATIN),
    (0x0250, 0x02AF, LATIN),
    (0x0370, 0x03FF, "Greek"),
    (0x0400, 0x052F, "Cyrillic"),
    (0x0530, 0x058F, "Armenian"),
    (0x0590, 0x05FF, "Hebrew"),
    (0x0600, 0x06FF, "Arabic"),
    (0x0750, 0x077F, "Arabic"),
    (0x08A0, 0x08FF, "Arabic"),
    (0x0900, 0x097F, "Devanagari"),
    (0x0980, 0x09FF, "Bengali"),
    (0x0A00, 0x0A7F, "Gurmukhi"),
    (0x0A80, 0x0AFF, "Gujarati"),
    (0x0B00, 0x0B7F, "Oriya"),
    (0x0B80, 0x0BFF, "Tamil"),
    (0x0C00, 0x0C7F, "Telugu"),
    (0x0C80, 0x0CFF, "Kannada"),
    (0x0D00, 0x0D7F, "Malayalam"),
    (0x0D80, 0x0DFF, "Sinhala"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Lao"),
    (0x0F00, 0x0FFF, "Tibetan"),
    (0x1000, 0x109F, "Myanmar"),
    (0x10A0, 0x10FF, "Georgian"),
    (0x1100, 0x11FF, "Hangul"),
    (0x1200, 0x139F, "Ethiopic"),
    (0x1780, 0x17FF, "Khmer"),
    (0x1E00, 0x1EFF, LATIN),
    (0x1F00, 0x1FFF, "Greek"),
    (0x3005, 0x3007, "Han"),
    (0x3040, 0x309F, "Hiragana"),
    (0x30A0, 0x30FF, "Katakana"),
    (0x3105, 0x312F, "Bopomofo"),
    (0x3130, 0x318F, "Hangul"),
    (0x31F0, 0x31FF, "Katakana"),
    (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"),
    (0xAC00, 0xD7AF, "Hangul"),
    (0xF900, 0xFAFF, "Han"),
    (0xFB1D, 0xFB4F, "Hebrew"),
    (0xFB50, 0xFDFF, "Arabic"),
    (0xFE70, 0xFEFF, "Arabic"),
    (0xFF21, 0xFF5A, LATIN),
    (0xFF66, 0xFF9F, "Katakana"),
    (0x20000, 0x323AF, "Han"),
)
_BEGINS = [begin for begin, _, _ in _BLOCKS]


def count_scripts(text: str) -> Counter[str]:
    """Number of letters of the text by script."""
    if text.isascii():
        letters = sum(map(str.isalpha, text))
        return Counter({LATIN: letters}) if letters else Counter()
    return Counter(script_of(character) for character in text if character.isalpha())


def main_script(text: str) -> str:
    """The script of most letters of the text; empty if it has no letter."""
    if text.isascii():
        return LATIN if any(map(str.isalpha, text)) else ""
    counts = count_scripts(text)
    return max(counts, key=lambda script: (counts[script], script)) if counts else ""


def script_of(letter: str) -> str:
    """The script of one letter."""
    code = ord(letter)
    place = bisect_right(_BEGINS, code) - 1
    return _BLOCKS[place][2] if place >= 0 and code <= _BLOCKS[place][1] else OTHER
