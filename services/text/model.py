"""The sentence model of the encoder: tokenizer and ONNX session, texts to sentence embeddings.

Knows nothing of projections, caches or the source of the model. The graph takes `input_ids` and
`attention_mask` (int64 [batch, tokens]) and returns the mean of the token states, float32 [batch, base_dims].
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from services.text.protocol import unit_rows

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
BASE_FILE = "base.json"
"""Beside an exported sentence encoder: what its files do not say."""
MAX_TOKENS = 128
"""Longer texts are truncated, special tokens included."""


class SentenceModel:
    """Embeds texts with the model of a directory; safe to share between threads."""

    def __init__(self, directory: Path, pad_id: int = 0, threads: int = 1, batch_size: int = 64) -> None:
        self._tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._session = _open_session(directory / MODEL_FILE, threads)
        self._pad_id = pad_id
        self._batch_size = batch_size
        self.dims: int = self._session.get_outputs()[0].shape[1]

    def embed(self, texts: Sequence[str], on_batch: Callable[[int], None] = lambda _: None) -> NDArray[np.float64]:
        """[len(texts), dims] rows of length 1; calls `on_batch` with the number of texts after each batch.

        Texts of similar length share a batch, so that little of the work is padding.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        by_length = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        embeddings = np.zeros((len(tokens), self.dims))
        for start in range(0, len(by_length), self._batch_size):
            rows = by_length[start : start + self._batch_size]
            embeddings[rows] = unit_rows(self._run([tokens[row] for row in rows]))
            on_batch(len(rows))
        return embeddings

    def _run(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        ids = np.full((len(tokens), max(map(len, tokens))), self._pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, row_ids in enumerate(tokens):
            ids[row, : len(row_ids)] = row_ids
            mask[row, : len(row_ids)] = 1
        outputs = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        pooled: NDArray[np.float32] = outputs[0]
        return pooled


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
