"""A text encoder that a stop signal interrupts: a batch of long texts may take minutes, a shutdown must not."""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.errors import CrossRecError
from services.text.protocol import Encoder

CHUNK_TEXTS = 32
"""Texts between two checks of the stop event."""


class Stopped(CrossRecError):
    """The stop event was set while texts were encoded; nothing of the batch was written."""


class StoppableEncoder:
    """Encodes texts with another encoder, some at a time.

    Args:
        encoder: encodes the texts.
        stop: when it is set, `encode` raises Stopped.
    """

    def __init__(self, encoder: Encoder, stop: threading.Event) -> None:
        self._encoder, self._stop = encoder, stop
        self.fingerprint, self.dims, self.unread_script = encoder.fingerprint, encoder.dims, encoder.unread_script

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[len(texts), dims], as the encoder encodes them."""
        vectors = np.zeros((len(texts), self.dims))
        wanted = [row for row, text in enumerate(texts) if text]
        for begin in range(0, len(wanted), CHUNK_TEXTS):
            if self._stop.is_set():
                raise Stopped("the consumer is stopping")
            rows = wanted[begin : begin + CHUNK_TEXTS]
            vectors[rows] = self._encoder.encode([texts[row] for row in rows])
        return vectors
