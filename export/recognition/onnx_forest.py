"""Export of a calibrated forest as an ONNX graph for serving, checked against scikit-learn on real samples.

Knows skl2onnx and ONNX; knows nothing of training or registries.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, save
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from export.onnx_check import check_difference, open_session
from export.recognition.calibration import FLOOR
from export.recognition.forest import ForestRecogniser
from services.ranking.model.onnx_recogniser import INPUT, OUTPUT

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 10
PROBABILITIES = "probabilities"


def export_recogniser(recogniser: ForestRecogniser, inputs: int, path: Path) -> None:
    """Write model.onnx: features [R, inputs] to posterior [R, K]."""
    forest = recogniser.forest
    model: ModelProto = to_onnx(
        forest,
        initial_types=[(INPUT, FloatTensorType([None, inputs]))],
        options={id(forest): {"zipmap": False, "output_class_labels": False}},
        target_opset=OPSETS,
    )
    calibration, graph = recogniser.calibration, model.graph
    constants = {"floor": FLOOR, "slope": calibration.slope, "bias": calibration.bias}
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()
    )
    graph.node.extend(
        [
            helper.make_node("Max", [PROBABILITIES, "floor"], ["bounded"]),
            helper.make_node("Log", ["bounded"], ["logs"]),
            helper.make_node("Mul", ["logs", "slope"], ["scaled"]),
            helper.make_node("Add", ["scaled", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], [OUTPUT], axis=-1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, len(calibration.bias)]))
    model.ir_version = IR_VERSION
    save(model, path)


def check_recogniser(recogniser: ForestRecogniser, path: Path, features: NDArray[np.float32]) -> float:
    """Largest difference between ONNX and scikit-learn over samples [S, F]; ExportMismatch above the tolerance."""
    (actual,) = open_session(path).run([OUTPUT], {INPUT: features})
    worst = float(np.abs(actual - recogniser.posterior(features)).max())
    check_difference(worst, "ONNX", "scikit-learn", f"{len(features)} real samples")
    return worst
