"""Encoding that a stop signal interrupts."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from services.consumers.stoppable_encoder import CHUNK_TEXTS, StoppableEncoder, Stopped
from services.text.protocol import HashingEncoder

TEXTS = [f"tea {number}" if number % 3 else "" for number in range(5 * CHUNK_TEXTS)]


def test_the_vectors_are_the_encoders() -> None:
    """In the order given; zeros for empty texts."""
    inner = HashingEncoder()
    encoder = StoppableEncoder(inner, threading.Event())
    np.testing.assert_array_equal(inner.encode(TEXTS), encoder.encode(TEXTS))
    assert (0, 64) == encoder.encode([]).shape
    assert (inner.fingerprint, inner.dims) == (encoder.fingerprint, encoder.dims)


def test_a_stop_is_noticed_between_chunks() -> None:
    """Of a batch of texts, at most one chunk is encoded after the signal."""
    stop, chunks = threading.Event(), list[int]()

    class Signalled(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
            chunks.append(len(texts))
            stop.set()
            return super().encode(texts)

    with pytest.raises(Stopped):
        StoppableEncoder(Signalled(), stop).encode(TEXTS)
    assert [CHUNK_TEXTS] == chunks
