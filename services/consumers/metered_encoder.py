"""A text encoder that reports texts in scripts that it does not read: their vectors say little of what they mean."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.text.protocol import Encoder


class MeteredEncoder:
    """Encodes texts with another encoder.

    Args:
        encoder: encodes the texts.
        on_unread: called with the script of each text that the encoder does not read, never with the text.
    """

    def __init__(self, encoder: Encoder, on_unread: Callable[[str], None]) -> None:
        self._encoder, self._on_unread = encoder, on_unread
        self.fingerprint, self.dims, self.unread_script = encoder.fingerprint, encoder.dims, encoder.unread_script

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[len(texts), dims], as the encoder encodes them."""
        vectors = self._encoder.encode(texts)
        for script in filter(None, map(self.unread_script, texts)):
            self._on_unread(script)
        return vectors
