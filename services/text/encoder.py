"""The text encoder that every process opens: sentence model, projection, fingerprint and cache in one.

An encoder directory holds `model.onnx`, `tokenizer.json`, `projection.npz` and `encoder.json`. Knows nothing
of how it was built; never imports torch.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.text.cache import VectorCache
from services.text.errors import EncoderMismatch
from services.text.model import MAX_TOKENS, MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.projection import PROJECTION_FILE, Projection
from services.text.protocol import fingerprint_of

ENCODER_FILE = "encoder.json"
_FORMAT = 1


@dataclass(frozen=True)
class EncoderInfo:
    """What `encoder.json` holds."""

    fingerprint: int
    dims: int
    pad_id: int
    source: str

    def save(self, directory: Path) -> None:
        """Write the description into an encoder directory."""
        (directory / ENCODER_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "EncoderInfo":
        """Read the description of an encoder directory; EncoderMismatch if it is not one."""
        try:
            return cls(**json.loads((directory / ENCODER_FILE).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise EncoderMismatch(f"{directory / ENCODER_FILE} does not describe an encoder: {error}") from error


class TextEncoder:
    """Texts to unit vectors; the same text gives the same vector within 1e-6, whatever it is encoded with.

    Raises EncoderMismatch at construction if files are missing or differ from those the fingerprint names.
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
                f"text encoder {directory}: {ENCODER_FILE} names fingerprint {info.fingerprint}, "
                f"its files have {self.fingerprint}; build the encoder again"
            )
        self.dims: int = self._projection.components.shape[0]
        self._model = SentenceModel(directory, info.pad_id, threads, batch_size)
        self._cache = cache

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return [len(texts), dims] rows of length 1 in the order given; zeros for an empty or blank text."""
        cleaned = [_clean(text) for text in texts]
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


def directory_fingerprint(directory: Path, projection: Projection, pad_id: int) -> int:
    """Return the identity of everything that decides what a vector means."""
    settings = json.dumps({"format": _FORMAT, "max_tokens": MAX_TOKENS, "pad_id": pad_id})
    model = (directory / MODEL_FILE).read_bytes()
    tokenizer = (directory / TOKENIZER_FILE).read_bytes()
    return fingerprint_of(settings.encode(), model, tokenizer, projection.content())


def _require_files(directory: Path) -> None:
    wanted = (ENCODER_FILE, MODEL_FILE, TOKENIZER_FILE, PROJECTION_FILE)
    missing = [name for name in wanted if not (directory / name).is_file()]
    if missing:
        raise EncoderMismatch(f"text encoder {directory}: no {', '.join(missing)}")


def _clean(text: str) -> str:
    # JSON can smuggle in lone surrogates, which neither the tokenizer nor a hash accepts.
    return text.encode("utf-8", "replace").decode("utf-8").strip()
