"""Small graphs with the inputs and outputs of served models, for one request and for several, and requests for them.

P = sigmoid(X[n, 0] + B[j, 0] + C[n, j, 0]), M = target + S[j, 0]; so every output depends on its request.
"""

from pathlib import Path

import numpy as np
import onnx

from services.features.encode import Tensors, leading_shapes
from services.registry.model import Scores

ModelRequest = tuple[Tensors, np.ndarray]

_HEAD = '<ir_version: 10, opset_import: ["" : 18]>'
_PLACES = "<int64 zero = {0}, int64[1] one = {1}, int64[1] last = {-1}>"
_OUT = "float[items, scenarios] preference"
_ONE = f"""{_HEAD}
one (float[scenarios, 2] scenario, float[1, scenarios, 2] behavior, float[1, scenarios, 2] language,
     float[items, 2] item, float[items, 2] item_text, float[items, scenarios, 2] cross, float[1, scenarios] target)
=> ({_OUT}, float[scenarios] transfer, float[items] score, float[items] probability)
{_PLACES} {{
    x = Gather <axis = 1> (item, zero)
    wide = Unsqueeze (x, one)
    b = Gather <axis = 2> (behavior, zero)
    c = Gather <axis = 2> (cross, zero)
    both = Add (wide, b)
    logit = Add (both, c)
    preference = Sigmoid (logit)
    s = Gather <axis = 1> (scenario, zero)
    weights = Gather <axis = 0> (target, zero)
    transfer = Add (weights, s)
    parts = Mul (preference, transfer)
    score = ReduceSum <keepdims = 0> (parts, last)
    total = ReduceSum <keepdims = 0> (transfer, last)
    probability = Div (score, total)
}}
"""
_BATCHED = f"""{_HEAD}
many (float[requests, scenarios, 2] scenario, float[requests, scenarios, 2] behavior,
      float[requests, scenarios, 2] language, float[items, 2] item, float[items, 2] item_text,
      float[items, scenarios, 2] cross, float[requests, scenarios] target, int64[items] request)
=> ({_OUT}, float[requests, scenarios] transfer, float[items] score, float[items] probability)
{_PLACES} {{
    x = Gather <axis = 1> (item, zero)
    wide = Unsqueeze (x, one)
    every = Gather <axis = 2> (behavior, zero)
    b = Gather <axis = 0> (every, request)
    c = Gather <axis = 2> (cross, zero)
    both = Add (wide, b)
    logit = Add (both, c)
    preference = Sigmoid (logit)
    s = Gather <axis = 2> (scenario, zero)
    transfer = Add (target, s)
    own = Gather <axis = 0> (transfer, request)
    parts = Mul (preference, own)
    score = ReduceSum <keepdims = 0> (parts, last)
    total = ReduceSum <keepdims = 0> (own, last)
    probability = Div (score, total)
}}
"""


def write_one(path: Path) -> Path:
    """Write the graph that scores one request."""
    onnx.save(onnx.parser.parse_model(_ONE), path)
    return path


def write_batched(path: Path) -> Path:
    """Write the graph that scores several requests."""
    onnx.save(onnx.parser.parse_model(_BATCHED), path)
    return path


def make_request(items: int, scenarios: int = 3, seed: int = 0) -> ModelRequest:
    """The tensors of a request, and its target posterior."""
    random = np.random.default_rng((seed, items, scenarios))
    shapes = leading_shapes(items, scenarios)
    tensors = {name: random.random((*shape, 2), dtype=np.float32) for name, shape in shapes.items()}
    return Tensors(**tensors), random.dirichlet(np.ones(scenarios))


def expected(tensors: Tensors, target: np.ndarray) -> Scores:
    """The outputs of the graphs, computed in numpy."""
    logit = tensors.item[:, :1] + tensors.behavior[0, :, 0] + tensors.cross[:, :, 0]
    preference, transfer = 1 / (1 + np.exp(-logit)), target + tensors.scenario[:, 0]
    score = preference @ transfer
    return Scores(preference, transfer, score, score / transfer.sum())


def assert_same(wanted: Scores, found: Scores) -> None:
    """All four outputs agree to 1e-6, shapes included."""
    for name in ("preference", "transfer", "score", "probability"):
        one, other = getattr(wanted, name), getattr(found, name)
        assert one.shape == other.shape, name
        np.testing.assert_allclose(other, one, rtol=1e-6, err_msg=name)
