"""What of some texts the English encoder reads, and the choice of an encoder by that.

Pure, but for the English encoder's tokenizer, which is read from its package. Measures scripts, unknown tokens and how
far words fall into pieces; guesses no languages.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tokenizers import Tokenizer

from export.text_encoder.sentence_encoders import ENGLISH, MULTILINGUAL, english_source
from services.text.model import TOKENIZER_FILE
from services.text.scripts import LATIN, count_scripts

UNREAD_SHARE = 0.02
"""Share of unread letters, or of unknown tokens, from which the English encoder is not taken. English catalogues
(films, groceries) have none of either; a Chinese, Russian or Korean item in fifty gives this share. An item that is not
read has a vector without meaning, while on English texts the multilingual encoder costs time alone."""

PIECES_PER_WORD = 2.0
"""Pieces of a word in Latin letters from which its language is not taken for English. Measured: films 1.1, groceries
1.3, electronics 1.6, cosmetics 1.8; products in Spanish 2.1, in French 2.2, in German 2.7, in Dutch 2.8. Languages of
short words, such as Vietnamese, pass for English: the setting names the encoder then."""

PIECES_WORDS = 30
"""Words needed to judge that: of few words most may be names."""

MOST_TEXTS = 100_000
"""Texts that are read of one table: the shares do not change beyond."""

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class TextReading:
    """What of some texts the English encoder reads.

    Args:
        texts: number of distinct texts.
        scripts: share of the texts' letters by script, the largest first.
        unread: share of letters in other scripts than Latin, mean over the texts.
        unknown: share of tokens that are unknown to the tokenizer.
        words: words in Latin letters.
        pieces: tokens of such a word, on average.
    """

    texts: int
    scripts: Mapping[str, float]
    unread: float
    unknown: float
    words: int
    pieces: float

    def faults(self) -> list[str]:
        """Why the English encoder should not be taken for them; empty if it should."""
        found = []
        if self.unread >= UNREAD_SHARE:
            named = ", ".join(f"{script} {share:.0%}" for script, share in self.scripts.items() if script != LATIN)
            found.append(f"{self.unread:.1%} of the letters are not Latin ({named})")
        if self.unknown >= UNREAD_SHARE:
            found.append(f"{self.unknown:.1%} of the tokens are unknown to it")
        if self.words >= PIECES_WORDS and self.pieces >= PIECES_PER_WORD:
            found.append(f"words fall into {self.pieces:.1f} pieces, English ones into 1.1 to 1.8")
        return found


def read_texts(texts: Iterable[str]) -> TextReading:
    """Measure the distinct texts among the first ones."""
    unique = sorted({text.strip() for text, _ in zip(texts, range(MOST_TEXTS), strict=False)} - {""})
    letters: Counter[str] = Counter()
    unread, lettered = 0.0, 0
    for text in unique:
        counts = count_scripts(text)
        if total := counts.total():
            unread, lettered = unread + 1 - counts[LATIN] / total, lettered + 1
            letters += counts
    words = [word for text in unique for word in _WORD.findall(text) if count_scripts(word).keys() == {LATIN}]
    tokens, unknown = _count_tokens(unique)
    pieces, _ = _count_tokens(words)
    return TextReading(
        len(unique),
        {script: count / letters.total() for script, count in letters.most_common()},
        unread / max(lettered, 1),
        unknown / max(tokens, 1),
        len(words),
        pieces / max(len(words), 1),
    )


def choose_source(readings: Mapping[str, TextReading]) -> tuple[str, str]:
    """The name of the encoder for texts that were read, by what they are, and the reason."""
    faults = [f"{name}: {fault}" for name, reading in readings.items() for fault in reading.faults()]
    if faults:
        return MULTILINGUAL, f"the English encoder does not read the texts; {'; '.join(faults)}"
    texts = sum(reading.texts for reading in readings.values())
    return ENGLISH, f"the English encoder reads the texts ({texts:,} distinct ones)" if texts else "there are no texts"


def _count_tokens(texts: list[str]) -> tuple[int, int]:
    """Number of tokens that the English tokenizer makes of the texts, and of unknown ones."""
    tokenizer = _english_tokenizer()
    unknown = tokenizer.get_vocab()["[UNK]"]
    tokens = missed = 0
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        tokens, missed = tokens + len(encoding.ids), missed + encoding.ids.count(unknown)
    return tokens, missed


@cache
def _english_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(english_source() / TOKENIZER_FILE))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
