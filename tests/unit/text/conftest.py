"""A tiny encoder directory, real ONNX and a real tokenizer, made without torch."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, pre_tokenizers

from services.text.encoder import EncoderInfo, directory_fingerprint
from services.text.model import MODEL_FILE, TOKENIZER_FILE
from services.text.projection import Projection

WORDS = ("[UNK]", "milk", "whole", "skim", "oil", "motor")
BASE_DIMS = 6
DIMS = 4


def write_encoder(directory: Path) -> Path:
    """The mean of one random vector per word, then a random orthonormal projection."""
    random = np.random.default_rng(7)
    _write_model(directory / MODEL_FILE, random.standard_normal((len(WORDS), BASE_DIMS)).astype(np.float32))
    _write_tokenizer(directory / TOKENIZER_FILE)
    components, _ = np.linalg.qr(random.standard_normal((BASE_DIMS, DIMS)))
    projection = Projection(np.full(BASE_DIMS, 0.01), components.T)
    projection.save(directory)
    EncoderInfo(directory_fingerprint(directory, projection, 0), DIMS, 0, "tiny").save(directory)
    return directory


def _write_model(path: Path, table: np.ndarray) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["states"]),
        helper.make_node("Cast", ["attention_mask"], ["flat_mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["flat_mask", "last"], ["mask"]),
        helper.make_node("Mul", ["states", "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "tokens"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["sentence_embedding"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", table.shape[1]])
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([-1]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens"),
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))


def _write_tokenizer(path: Path) -> None:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # An encoder must not depend on the file's padding and truncation.
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))


@pytest.fixture
def encoder_directory(tmp_path):
    directory = tmp_path / "encoder"
    directory.mkdir()
    return write_encoder(directory)
