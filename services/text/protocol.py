"""The protocol of a text encoder, and an implementation without a model.

An encoder turns texts into unit vectors and is identified by a fingerprint. Rows that hold text vectors keep the
fingerprint beside them: vectors of two fingerprints must never be compared. Knows nothing of catalogues, events or
stores.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.errors import CrossRecError

TEXT_DIMS = 64
"""Default length of a text vector."""

_WORD = re.compile(r"\w+")
_DIGEST_BYTES = 64


class EncoderMismatch(CrossRecError):
    """An encoder's files are not the ones it was built from, so its vectors cannot be trusted."""


class Encoder(Protocol):
    """Texts to vectors; the same text always gives the same vector."""

    @property
    def fingerprint(self) -> int:
        """Identity of the vector space: signed 64-bit, never 0."""

    @property
    def dims(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[len(texts), dims] rows of length 1 in the order given; zeros for an empty or blank text."""

    def unread_script(self, text: str) -> str:
        """The script of most letters of a text if the encoder does not read it, else empty."""


class HashingEncoder:
    """Bag of hashed words: no model, no files; texts are similar only as far as they share words.

    For tests, and for catalogues whose texts hold nothing that a language model could use.
    """

    def __init__(self, dims: int = TEXT_DIMS) -> None:
        self.dims = dims
        self.fingerprint = fingerprint_of(b"hashed words 1", dims.to_bytes(4, "big"))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[len(texts), dims]: the normalised sum of the words' vectors; zeros if there is no word."""
        vectors = np.zeros((len(texts), self.dims))
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.lower()):
                vectors[row] += _word_vector(word, self.dims)
        return unit_rows(vectors)

    def unread_script(self, text: str) -> str:  # noqa: ARG002
        """Empty: words of every script are hashed."""
        return ""


def fingerprint_of(*parts: bytes) -> int:
    """A signed 64-bit identity of the parts, never 0 (which in a row means "no vector")."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True) or 1


def unit_rows(vectors: NDArray[np.floating], tiny: float = 1e-9) -> NDArray[np.float64]:
    """Scale rows to length 1 in float64; rows shorter than `tiny` are rounding noise and become zeros."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    units = np.zeros_like(wide)
    np.divide(wide, lengths, out=units, where=lengths > tiny)
    return units


@lru_cache(maxsize=65_536)
def _word_vector(word: str, dims: int) -> NDArray[np.float64]:
    blocks = -(-dims // _DIGEST_BYTES)
    data = b"".join(
        hashlib.blake2b(word.encode("utf-8", "replace"), salt=block.to_bytes(16, "big")).digest()
        for block in range(blocks)
    )
    vector = np.frombuffer(data[:dims], dtype=np.uint8).astype(np.float64) - 127.5
    vector.flags.writeable = False
    return vector
