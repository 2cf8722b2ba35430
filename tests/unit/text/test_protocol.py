import numpy as np
import pytest

from services.text import HashingEncoder
from services.text.protocol import fingerprint_of, unit_rows


def test_words_make_the_vector():
    """Case, punctuation and word order do not matter; shared words bring texts together."""
    milk, same, skim, oil = HashingEncoder().encode(["Whole MILK!", "milk, whole", "skim milk", "motor oil"])
    np.testing.assert_array_equal(milk, same)
    assert milk @ skim > 0.3
    assert abs(milk @ oil) < 0.4


@pytest.mark.parametrize("dims", [3, 64, 100])
def test_vectors_have_length_one(dims):
    """Any number of dimensions is possible; the encoder has it as `dims`."""
    encoder = HashingEncoder(dims)
    vectors = encoder.encode(["milk", "motor oil"])
    assert (2, dims) == vectors.shape == (2, encoder.dims)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


def test_text_without_words_is_zeros():
    """Empty, blank and wordless texts give the zero vector."""
    np.testing.assert_array_equal(HashingEncoder(8).encode(["", "  ", "?!"]), np.zeros((3, 8)))


def test_vectors_never_change():
    """Vectors live in stored rows, so this version of the encoder is pinned to the values it has always had."""
    encoder = HashingEncoder(3)
    assert encoder.fingerprint == -451498366231022939
    np.testing.assert_allclose(
        encoder.encode(["milk"])[0], [0.7872693772938533, -0.00948517322040787, 0.6165362593265116], atol=1e-12
    )


def test_fingerprint_depends_on_dimensions():
    """Vectors of different lengths are different spaces."""
    assert HashingEncoder(8).fingerprint != HashingEncoder(16).fingerprint


def test_fingerprint_depends_on_the_ends_of_parts():
    """Moving bytes from one file to the next changes the identity."""
    assert fingerprint_of(b"ab", b"c") != fingerprint_of(b"a", b"bc")


def test_rounding_noise_becomes_zeros():
    """Rows too short to have a direction become zeros instead of being amplified."""
    rows = unit_rows(np.array([[3.0, 4.0], [1e-12, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 0]])
