"""The scenario recogniser of the registry, opened and run by ONNX Runtime. Never imports scikit-learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from services.features.schema import Schema
from services.registry.compatibility import recogniser_differences
from services.registry.description import FIELDS_OF_ALL
from services.registry.promotion import find_serving
from services.registry.reader import MODEL, ModelMismatch, Registry

INPUT, OUTPUT = "features", "posterior"
MANIFEST_FIELDS = (*FIELDS_OF_ALL, "inputs", "scenarios", "source_only", "sources")


class OnnxRecogniser:
    """A registered recogniser on ONNX Runtime.

    Args:
        directory: holds its files.
        manifest: its manifest, checked.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # A forest is not matrix products: a GPU would not be faster.
        self._session = onnxruntime.InferenceSession(directory / MODEL, options, providers=["CPUExecutionProvider"])
        self.version = f"{manifest['name']}/{manifest['version']}"
        self.scenarios, self.sources = tuple(manifest["scenarios"]), tuple(manifest["sources"])
        self.source_only = frozenset(manifest["source_only"])
        shape = {value.name: value.shape[-1] for value in (*self._session.get_inputs(), *self._session.get_outputs())}
        expected = {INPUT: len(manifest["inputs"]), OUTPUT: len(self.scenarios)}
        if shape != expected:
            raise ModelMismatch(f"recogniser {directory}: its graph has {shape}, its manifest {expected}")

    def posterior(self, features: np.ndarray) -> np.ndarray:
        """One run of the graph."""
        (result,) = self._session.run([OUTPUT], {INPUT: features})
        posterior: np.ndarray = result
        return posterior


def open_recogniser(registry: Registry, wanted: str, schema: Schema, *, required: bool) -> OnnxRecogniser | None:
    """Open the recogniser `wanted`: a name (the version that serves), name/version, or "" for none.

    None if it is not registered and not `required`. Raises ModelUnavailable, ModelMismatch.
    """
    name, _, number = wanted.partition("/")
    if not name or not (required or registry.newest(name)):
        return None
    version = find_serving(registry, name, number, "ranking.recogniser", "crossrec train-recogniser")
    manifest = registry.manifest(version, MANIFEST_FIELDS)
    if differences := recogniser_differences(manifest, schema):
        raise ModelMismatch(
            f"recogniser {registry.where(version)} does not fit this server: {'; '.join(differences)}; `crossrec "
            "train-recogniser` trains one that fits, an empty ranking.recogniser disables it"
        )
    return OnnxRecogniser(registry.fetch(version, manifest), manifest)
