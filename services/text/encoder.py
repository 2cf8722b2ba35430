"""The text encoder: sentence model, projection, fingerprint and cache in one. Every process opens it here.

An encoder directory holds `model.onnx`, `tokenizer.json`, `projection.npz` and `encoder.json`, and the cache
`vectors.sqlite` beside them. Knows nothing of how an encoder is built; never imports torch.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.text.cache import VectorCache
from services.text.model import MAX_TOKENS, MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.projection import PROJECTION_FILE, Projection
from services.text.protocol import EncoderMismatch, fingerprint_of
from services.text.scripts import main_script

ENCODER_FILE = "encoder.json"
VECTORS_FILE = "vectors.sqlite"
_FORMAT = 1


@dataclass(frozen=True)
class EncoderInfo:
    """The content of `encoder.json`.

    Args:
        fingerprint: identity of the encoder's files.
        dims: length of a vector.
        pad_id: the tokenizer's padding token.
        source: name of the sentence encoder that the directory was built from.
        languages: the languages that it was trained on, in words; empty: not known.
        scripts: the scripts that it reads; empty: not known.
        reason: why it was chosen.
    """

    fingerprint: int
    dims: int
    pad_id: int
    source: str
    languages: str = ""
    scripts: Sequence[str] = ()
    reason: str = ""

    def describe(self) -> str:
        """Name and languages."""
        return f"{self.source} ({self.languages})" if self.languages else self.source

    def save(self, directory: Path) -> None:
        """Write `encoder.json` into an encoder directory."""
        (directory / ENCODER_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "EncoderInfo":
        """Read `encoder.json` of an encoder directory. Raises EncoderMismatch if it does not describe an encoder."""
        try:
            return cls(**json.loads((directory / ENCODER_FILE).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise EncoderMismatch(f"{directory / ENCODER_FILE} does not describe an encoder: {error}") from error


class TextEncoder:
    """Texts to unit vectors; the same text gives the same vector within 1e-6, whatever the rest of its batch.

    The constructor raises EncoderMismatch if files are missing or differ from those that the fingerprint identifies.

    Args:
        directory: the encoder directory.
        cache: known vectors.
        threads: of ONNX Runtime.
        batch_size: most texts of one run of the model.
    """

    def __init__(
        self, directory: Path, cache: VectorCache | None = None, threads: int = 1, batch_size: int = 64
    ) -> None:
        _require_files(directory)
        info = EncoderInfo.load(directory)
        self._projection = Projection.load(directory)
        self.fingerprint = directory_fingerprint(directory, self._projection, info.pad_id)
        if self.fingerprint != info.fingerprint:
            raise EncoderMismatch(
                f"text encoder {directory}: {ENCODER_FILE} has fingerprint {info.fingerprint}, "
                f"its files have {self.fingerprint}; build the encoder again"
            )
        self.dims: int = self._projection.components.shape[0]
        self._model = SentenceModel(directory, info.pad_id, threads, batch_size)
        self._cache, self._scripts = cache, frozenset(info.scripts)

    def unread_script(self, text: str) -> str:
        """The script of most letters of a text if the encoder does not read it, else empty."""
        script = main_script(text)
        return script if self._scripts and script not in self._scripts else ""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[len(texts), dims] rows of length 1 in the order given; zeros for an empty or blank text."""
        cleaned = [_clean_text(text) for text in texts]
        known = self._vectors([text for text in dict.fromkeys(cleaned) if text])
        vectors = np.zeros((len(cleaned), self.dims))
        for row, text in enumerate(cleaned):
            if text:
                vectors[row] = known[text]
        return vectors

    def _vectors(self, unique: list[str]) -> dict[str, NDArray[np.float64]]:
        known = self._cache.get_many(self.fingerprint, unique) if self._cache else {}
        missing = [text for text in unique if text not in known]
        if missing:
            vectors = self._projection.apply(self._model.embed(missing))
            fresh = dict(zip(missing, vectors, strict=True))
            if self._cache:
                self._cache.put_many(self.fingerprint, fresh)
            known |= fresh
        return known


def encoder_exists(directory: Path) -> bool:
    """Whether the directory holds a text encoder."""
    return (directory / ENCODER_FILE).exists()


def read_encoder_info(directory: Path) -> EncoderInfo:
    """The description of the encoder in a directory. Raises ConfigurationError if it holds none, EncoderMismatch."""
    if not encoder_exists(directory):
        raise ConfigurationError(f"encoder_dir: no text encoder in {directory}; `crossrec replay` or `train` builds it")
    return EncoderInfo.load(directory)


def find_info(directory: Path) -> EncoderInfo | None:
    """The description of the encoder in a directory; None if it holds none. Raises EncoderMismatch."""
    return EncoderInfo.load(directory) if encoder_exists(directory) else None


def find_fingerprint(directory: Path) -> int | None:
    """The fingerprint of the encoder in a directory; None if it holds none. Raises EncoderMismatch."""
    info = find_info(directory)
    return info.fingerprint if info else None


def open_encoder(directory: Path, threads: int = 1) -> TextEncoder:
    """The text encoder in a directory, with its cache. Raises ConfigurationError if it holds none, EncoderMismatch."""
    read_encoder_info(directory)
    return TextEncoder(directory, VectorCache(directory / VECTORS_FILE), threads)


def directory_fingerprint(directory: Path, projection: Projection, pad_id: int) -> int:
    """The identity of everything that decides what a vector means."""
    settings = json.dumps({"format": _FORMAT, "max_tokens": MAX_TOKENS, "pad_id": pad_id})
    model = (directory / MODEL_FILE).read_bytes()
    tokenizer = (directory / TOKENIZER_FILE).read_bytes()
    return fingerprint_of(settings.encode(), model, tokenizer, projection.content())


def _require_files(directory: Path) -> None:
    wanted = (ENCODER_FILE, MODEL_FILE, TOKENIZER_FILE, PROJECTION_FILE)
    missing = [name for name in wanted if not (directory / name).is_file()]
    if missing:
        raise EncoderMismatch(f"text encoder {directory}: no {', '.join(missing)}")


def _clean_text(text: str) -> str:
    # JSON may hold lone surrogates, which neither the tokenizer nor a hash accepts.
    return text.encode("utf-8", "replace").decode("utf-8").strip()
