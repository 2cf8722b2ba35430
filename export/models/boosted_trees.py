"""Kind `lightgbm`: boosted trees on the concatenated features of the target scenario.

As in `pooled`, P[j,n] is the probability if j were the target, and the transfer weights are the target posterior. Knows
LightGBM and ONNX; knows nothing of registries.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.models.base import TENSORS, ModelError
from export.models.config import Epoch, TrainingConfig
from export.models.kind import Kind
from export.rows.reader import Floats32, RowBatch, RowSource

_GRAPH = """
<ir_version: 8, opset_import: ["" : 15, "ai.onnx.ml" : 1]>
model (float[J, S] scenario, float[1, J, B] behavior, float[1, J, D] language, float[N, X] item,
       float[N, D] item_text, float[N, J, C] cross, float[1, J] target)
=> (float[N, J] preference, float[J] transfer, float[N] score, float[N] probability)
<int64[1] first = {0}, int64[1] one = {1}, int64[1] two = {2}> {
    size = Shape (cross)
    pairs = Slice (size, first, two)
    wide = Concat <axis = 0> (pairs, one)
    items = Unsqueeze (item, one)
    texts = Unsqueeze (item_text, one)
    scenario_wide = Expand (scenario, wide)
    behavior_wide = Expand (behavior, wide)
    language_wide = Expand (language, wide)
    item_wide = Expand (items, wide)
    text_wide = Expand (texts, wide)
    all = Concat <axis = 2> (scenario_wide, behavior_wide, language_wide, item_wide, text_wide, cross)
    features = Flatten <axis = 2> (all)
    both = Identity (features)
    positive = Slice (both, one, two, one)
    preference = Reshape (positive, pairs)
    transfer = Squeeze (target, first)
    column = Unsqueeze (transfer, one)
    product = MatMul (preference, column)
    score = Squeeze (product, one)
    total = ReduceSum <keepdims = 0> (transfer)
    probability = Div (score, total)
}
"""
"""The graph around the trees, which replace the node that computes `both`, the probabilities of both classes."""

STOP_AFTER = 30
"""Early stopping: trees without a better validation AUC."""

CURVE_TREES = 5

_OPSET = 15
"""ONNX operator set, the newest that the converter supports."""


def import_lightgbm() -> ModuleType:
    """The module lightgbm; ModelError names the missing system library."""
    try:
        import lightgbm
    except OSError as error:
        raise ModelError(
            f"lightgbm cannot be loaded: {error}. Its OpenMP library is in the system package libgomp1 "
            "(Debian, Ubuntu) or libgomp (Fedora): install it, or train the other kinds"
        ) from error
    module: ModuleType = lightgbm
    return module


def flatten_features(batch: RowBatch, out: Floats32 | None = None) -> Floats32:
    """The features of each row's target scenario, [R, F], in the order of TENSORS; written to `out` if given."""
    context, rows = batch.row_context, np.arange(len(batch))
    parts = [
        batch.scenario[context, batch.target],
        batch.behavior[context, batch.target],
        batch.language[context, batch.target],
        batch.item,
        batch.item_text,
        batch.cross[rows, batch.target],
    ]
    return np.concatenate(parts, axis=1, out=out)


def feature_matrix(source: RowSource) -> tuple[Floats32, NDArray[np.int64]]:
    """Features [R, F] and labels [R] of a source, streamed into one array."""
    rows = len(source)
    features = np.empty((rows, sum(source.widths[name] for name in TENSORS)), np.float32)
    label, begin = np.empty(rows, np.int64), 0
    for batch in source.batches():
        end = begin + len(batch)
        flatten_features(batch, features[begin:end])
        label[begin:end] = batch.label
        begin = end
    return features, label


class BoostedTrees:
    """Trained trees.

    Args:
        text: LightGBM's model text; thresholds are rounded down to single precision, in which features are given,
            so that no comparison changes and ONNX's single-precision trees take the same branches.
    """

    def __init__(self, text: str) -> None:
        # tree_sizes are offsets into the text, which rounding moves; LightGBM reads models without them.
        unsized = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
        rounded = re.sub(r"^threshold=(.*)$", _round_thresholds, unsized, flags=re.MULTILINE)
        self.booster = import_lightgbm().Booster(model_str=rounded)

    def probability(self, batch: RowBatch) -> NDArray[np.float64]:
        """Probability of every row [R]."""
        result: NDArray[np.float64] = self.booster.predict(flatten_features(batch), num_threads=1)
        return result

    def outputs(self, inputs: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
        """OUTPUTS of one request, given INPUTS."""
        items, scenarios = inputs["cross"].shape[:2]
        wide = {name: inputs[name] for name in TENSORS}
        wide |= {name: wide[name][:, None] for name in ("item", "item_text")}
        parts = [np.broadcast_to(wide[name], (items, scenarios, wide[name].shape[-1])) for name in TENSORS]
        flat = np.concatenate(parts, axis=-1).reshape(items * scenarios, -1)
        preference = self.booster.predict(flat, num_threads=1).reshape(items, scenarios)
        weights = inputs["target"][0]
        score = preference @ weights
        return preference, weights, score, score / weights.sum()

    def export(self, path: Path) -> None:
        """Write the ONNX graph: the trees over every item in every scenario, and the sum over the posterior."""
        import onnx
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        given = [("features", FloatTensorType([None, self.booster.num_feature()]))]
        # Without the converter's ZipMap the second output is [rows, 2], the probabilities of both classes.
        trees = convert_lightgbm(self.booster, initial_types=given, zipmap=False, target_opset=_OPSET)
        onnx.save(_wrap_graph(trees), path)


def _round_thresholds(line: "re.Match[str]") -> str:
    """The largest single-precision numbers not above the thresholds of a line, printed exactly."""
    values = np.array([float(part) for part in line[1].split()])
    single = values.astype(np.float32)
    below = np.where(single.astype(np.float64) > values, np.nextafter(single, np.float32(-np.inf)), single)
    return "threshold=" + " ".join(repr(float(value)) for value in below)


def _wrap_graph(trees: Any) -> Any:
    """A graph with the inputs and outputs of served models around one from features [rows, F]."""
    import onnx
    from onnx import compose

    model = onnx.parser.parse_model(_GRAPH)
    inner = compose.add_prefix(trees, "trees_").graph
    place = next(number for number, node in enumerate(model.graph.node) if "both" in node.output)
    nodes = list(model.graph.node)
    given = onnx.helper.make_node("Identity", ["features"], [inner.input[0].name])
    taken = onnx.helper.make_node("Identity", [inner.output[1].name], ["both"])
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], given, *inner.node, taken, *nodes[place + 1 :]])
    model.graph.initializer.extend(inner.initializer)
    onnx.checker.check_model(model)
    return model


def fit_trees(
    source: RowSource, validation: RowSource, config: TrainingConfig, log: Callable[[str], None]
) -> tuple[BoostedTrees, list[Epoch]]:
    """Fit trees, up to the number with the best validation AUC; the curve has a point every CURVE_TREES trees."""
    lightgbm = import_lightgbm()
    data = lightgbm.Dataset(*feature_matrix(source), params={"verbose": -1})
    parameters = {
        "objective": "binary",
        "metric": ["auc", "binary_logloss"],
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.5,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbose": -1,
    }
    valid_sets = [data.create_valid(*feature_matrix(validation))] if len(validation) else []
    course: dict[str, dict[str, list[float]]] = {}
    calls = [lightgbm.record_evaluation(course)]
    if valid_sets:
        calls.append(lightgbm.early_stopping(STOP_AFTER, first_metric_only=True, verbose=False))
    booster = lightgbm.train(parameters, data, config.trees, valid_sets=valid_sets, callbacks=calls)
    best = booster.best_iteration if valid_sets else config.trees
    validation_auc = booster.best_score.get("valid_0", {}).get("auc", float("nan"))
    log(f"lightgbm: {best} trees, validation AUC {validation_auc:.4f}")
    return BoostedTrees(booster.model_to_string(num_iteration=best)), _curve(course.get("valid_0", {}))


def _curve(course: Mapping[str, Sequence[float]]) -> list[Epoch]:
    points = list(zip(course.get("auc", ()), course.get("binary_logloss", ()), strict=True))
    chosen = range(CURVE_TREES, len(points) + 1, CURVE_TREES)
    return [Epoch(n, float("nan"), points[n - 1][0], n, points[n - 1][1]) for n in chosen]


KIND = Kind(
    name="lightgbm",
    title="LightGBM",
    description="boosted decision trees on the same features",
    config=TrainingConfig(learning_rate=0.1),
    fit=fit_trees,
    export=BoostedTrees.export,
)
