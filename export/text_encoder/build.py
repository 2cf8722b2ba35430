"""Builds an encoder directory: a sentence encoder, and a projection that is fitted on the texts of a catalogue.

Knows nothing of the origin of the texts.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.text_encoder.base_cache import replace_directory
from export.text_encoder.projection_fit import fit_projection
from export.text_encoder.sentence_encoders import ENGLISH, open_sentence_encoder
from services.settings.terminal import open_console
from services.text.encoder import EncoderInfo, directory_fingerprint
from services.text.model import MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.protocol import TEXT_DIMS
from services.text.scripts import main_script

_PROGRESS_FROM = 500


def build_encoder(
    texts: Sequence[str],
    out: Path,
    source: str = ENGLISH,
    *,
    reason: str = "",
    dims: int = TEXT_DIMS,
    seed: int = 0,
    threads: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write into `out` an encoder directory for TextEncoder, its projection fitted on the distinct texts.

    An encoder in `out` is replaced only when the new one is complete.

    Args:
        texts: of the catalogue.
        out: the directory.
        source: english, multilingual, or a local Hugging Face directory.
        reason: why this source was chosen; kept with the encoder.
        dims: length of a vector.
        seed: of directions that the texts do not span.
        threads: default: the number of cores.
        report: called before what takes long.
    """
    base = open_sentence_encoder(source, report)
    pad_id = base.pad_id
    model = SentenceModel(base.directory, pad_id, threads or os.cpu_count() or 1)
    unique = sorted({text.strip() for text in texts} - {""})
    report(f"encoding {len(unique):,} texts of the catalogue")
    with _progress_bar(len(unique)) as advance:
        embeddings = model.embed(unique, advance)
    projection = fit_projection(embeddings, dims, seed, [main_script(text) for text in unique])
    with replace_directory(out) as draft:
        for name in (MODEL_FILE, TOKENIZER_FILE):
            shutil.copyfile(base.directory / name, draft / name)
        projection.save(draft)
        fingerprint = directory_fingerprint(draft, projection, pad_id)
        EncoderInfo(fingerprint, dims, pad_id, base.name, base.languages, base.scripts(), reason).save(draft)
    return out


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    if total < _PROGRESS_FROM:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task("encoding texts", total=total)
        yield lambda done: bar.advance(task, done)
