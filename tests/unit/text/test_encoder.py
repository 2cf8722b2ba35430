import json

import numpy as np
import pytest

from services.errors import ConfigurationError
from services.text import EncoderMismatch, TextEncoder, VectorCache
from services.text.encoder import VECTORS_FILE, encoder_exists, find_fingerprint, open_encoder, read_encoder_info
from services.text.model import MAX_TOKENS


class DictCache:
    """The cache without a file; records the texts that were put."""

    def __init__(self):
        self.vectors = {}
        self.put = []

    def get_many(self, fingerprint, texts):
        return {text: self.vectors[fingerprint, text] for text in texts if (fingerprint, text) in self.vectors}

    def put_many(self, fingerprint, vectors):
        self.put += vectors
        self.vectors |= {(fingerprint, text): vector for text, vector in vectors.items()}


def test_rows_are_unit_vectors_in_the_order_of_the_texts(encoder_directory):
    """Row n belongs to text n, whatever order the batches ran in, and has length 1."""
    encoder = TextEncoder(encoder_directory, batch_size=2)
    texts = ["motor oil whole milk", "milk", "skim milk", "oil"]
    vectors = encoder.encode(texts)
    assert (4, encoder.dims) == vectors.shape
    assert np.float64 == vectors.dtype
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-12)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(encoder.encode([text])[0], vectors[row], atol=1e-6)


def test_blank_texts_are_zeros(encoder_directory):
    """Empty and blank texts give the zero vector and do not change their neighbours."""
    encoder = TextEncoder(encoder_directory)
    vectors = encoder.encode(["", "milk", " \n\t"])
    np.testing.assert_array_equal(vectors[[0, 2]], np.zeros((2, encoder.dims)))
    np.testing.assert_array_equal(vectors[1], encoder.encode(["milk"])[0])


def test_no_texts_give_no_rows(encoder_directory):
    """The result is an empty matrix of the right width."""
    encoder = TextEncoder(encoder_directory)
    assert (0, encoder.dims) == encoder.encode([]).shape


def test_repeated_texts_are_computed_once(encoder_directory):
    """Duplicates, surrounding white space aside, share one computation and one vector."""
    cache = DictCache()
    vectors = TextEncoder(encoder_directory, cache).encode(["milk", "oil", " milk ", "milk"])
    assert cache.put == ["milk", "oil"]
    np.testing.assert_array_equal(vectors[[0, 0]], vectors[[2, 3]])


def test_known_vectors_come_from_the_cache(encoder_directory):
    """A cached text is not computed again; a vector of another encoder is not used."""
    cache = DictCache()
    encoder = TextEncoder(encoder_directory, cache)
    cached = np.array([0.0, 0.0, 1.0, 0.0])
    cache.vectors = {(encoder.fingerprint, "milk"): cached, (encoder.fingerprint + 1, "oil"): cached}
    vectors = encoder.encode(["oil", "milk"])
    np.testing.assert_array_equal(vectors[1], cached)
    assert cache.put == ["oil"]


def test_long_texts_are_truncated(encoder_directory):
    """Text after the last token that fits is ignored, text before it is not."""
    encoder = TextEncoder(encoder_directory)
    full = "milk " * (MAX_TOKENS - 1) + "oil"
    longer, other = encoder.encode([full + " motor" * 50, "milk " * MAX_TOKENS])
    np.testing.assert_allclose(longer, encoder.encode([full])[0], atol=1e-6)
    assert np.abs(longer - other).max() > 1e-4


def test_lone_surrogates_are_accepted(encoder_directory):
    """Text that is not valid Unicode is encoded, not rejected."""
    encoder = TextEncoder(encoder_directory)
    assert np.linalg.norm(encoder.encode(["milk \ud800"])) == pytest.approx(1)


def test_opens_with_the_same_fingerprint(encoder_directory):
    """The fingerprint is a property of the files: signed 64-bit, not 0, the same at every opening."""
    first, second = TextEncoder(encoder_directory), TextEncoder(encoder_directory)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != 0
    assert -(2**63) <= first.fingerprint < 2**63


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx"])
def test_changed_files_are_rejected(encoder_directory, name):
    """An encoder does not open with files that it was not built from."""
    path = encoder_directory / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(EncoderMismatch, match="fingerprint"):
        TextEncoder(encoder_directory)


def test_changed_projection_is_rejected(encoder_directory):
    """The projection decides what a vector means, so it is part of the fingerprint."""
    path = encoder_directory / "projection.npz"
    with np.load(path) as arrays:
        centre, components = arrays["centre"], arrays["components"]
    np.savez(path, centre=centre + 1e-3, components=components)
    with pytest.raises(EncoderMismatch, match="fingerprint"):
        TextEncoder(encoder_directory)


def test_missing_files_are_named(encoder_directory):
    """An incomplete directory is rejected with the names of the missing files."""
    (encoder_directory / "model.onnx").unlink()
    with pytest.raises(EncoderMismatch, match=r"no model\.onnx"):
        TextEncoder(encoder_directory)


def test_foreign_description_is_rejected(encoder_directory):
    """An encoder.json that describes something else is rejected."""
    (encoder_directory / "encoder.json").write_text(json.dumps({"hidden_size": 384}))
    with pytest.raises(EncoderMismatch, match="does not describe an encoder"):
        TextEncoder(encoder_directory)


def test_an_encoder_is_opened_with_its_cache(encoder_directory):
    """Vectors computed by one process are available to the next one."""
    vectors = open_encoder(encoder_directory).encode(["milk"])
    with VectorCache(encoder_directory / VECTORS_FILE) as cache:
        (cached,) = cache.get_many(find_fingerprint(encoder_directory), ["milk"]).values()
    np.testing.assert_array_equal(vectors[0], cached)


def test_a_directory_without_an_encoder_is_a_configuration_error(tmp_path):
    """The error names the setting and the commands that build an encoder; nothing is created."""
    for read in (open_encoder, read_encoder_info):
        with pytest.raises(ConfigurationError, match=r"encoder_dir: no text encoder in .*; `crossrec replay`"):
            read(tmp_path / "none")
    assert find_fingerprint(tmp_path / "none") is None
    assert not encoder_exists(tmp_path / "none")
    assert [] == list(tmp_path.iterdir())
