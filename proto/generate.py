"""Generates the Python code of the contracts into proto/gen, or checks that it is up to date.

Knows protoc's arguments and where generated code lives; knows nothing of what the messages mean.
"""

import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent
GENERATED = PROTO / "gen"


def generate(out: Path) -> None:
    """Write *_pb2.py, *_pb2.pyi and *_pb2_grpc.py for every proto below proto/crossrec into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path) for path in (PROTO / "crossrec").rglob("*.proto"))
    include = Path(protoc.__file__).parent / "_proto"
    arguments = [f"-I{PROTO}", f"-I{include}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *arguments, *sources]) != 0:
        raise SystemExit("protoc failed")


def stale(fresh: Path) -> list[str]:
    """Relative paths of generated files that differ between `fresh` and proto/gen."""
    names = {path.relative_to(fresh) for path in fresh.rglob("*.py*")}
    names |= {path.relative_to(GENERATED) for path in GENERATED.rglob("*_pb2*.py*")}
    return sorted(
        str(name)
        for name in names
        if "__pycache__" not in name.parts
        and not (
            (fresh / name).exists()
            and (GENERATED / name).exists()
            and filecmp.cmp(fresh / name, GENERATED / name, shallow=False)
        )
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder))
            differing = stale(Path(folder))
        if differing:
            sys.exit(f"generated code is not up to date, run make proto: {', '.join(differing)}")
    else:
        generate(GENERATED)
