"""Feast's message of one value, loaded without Feast, whose import takes seconds and 150 MB.

It is Feast's own generated module, which needs protobuf alone; importing it by its name would import the package first.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_NAME = "feast.protos.feast.types.Value_pb2"


def _load() -> Any:
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = find_spec("feast")  # finds the folder, imports nothing
    if package is None or package.origin is None:
        raise ImportError("feast is not installed")
    path = Path(package.origin).parent.joinpath(*_NAME.split(".")[1:]).with_suffix(".py")
    spec = spec_from_file_location(_NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"feast has no {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Value = _load().Value
"""feast.types.Value."""
