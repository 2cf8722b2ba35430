"""Exports a local Hugging Face sentence encoder to ONNX, and compares it with PyTorch.

Needs torch and transformers, but imports them only while exporting.
"""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.text.model import BASE_FILE, MAX_TOKENS, MODEL_FILE, TOKENIZER_FILE, SentenceModel
from services.text.protocol import EncoderMismatch, unit_rows

EXPORTER_VERSION = 1
"""Increase it when the exported graph changes: cached exports are then made again."""

_TOLERANCE = 1e-5
_CHECK_TEXTS = (
    "whole milk",
    "Motor oil 5W-30, 1 quart",
    "crème brûlée à la vanille",
    "a store display at the end of the aisle, seen by everyone who walks past " * 20,
)


def export_hugging_face(source: Path, out: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `base.json` of a local Hugging Face encoder into a directory.

    Raises EncoderMismatch if the source does not pool by the mean, or the ONNX model differs from PyTorch by more than
    1e-5.
    """
    _require_mean_pooling(source)
    _export(source, out)


def source_key(source: Path) -> str:
    """The identity of what an export depends on: the source's files and the exporter."""
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
