"""The cache of exported sentence encoders: one directory per source, in CROSSREC_CACHE_DIR or ~/.cache/crossrec.

Knows directories; nothing of what is exported. One process exports at a time, and the next ones find the result.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cached_export(key: str, export: Callable[[Path], None], report: Callable[[str], None], name: str) -> Path:
    """The directory that `export` has filled for this key, now or earlier; `report` is called before it is filled."""
    root = Path(os.environ.get("CROSSREC_CACHE_DIR") or Path.home() / ".cache" / "crossrec")
    target = root / "encoder" / key
    with _lock_directory(target.parent):
        if not target.is_dir():
            report(f"exporting the sentence encoder {name} to ONNX into {target}, once")
            with replace_directory(target) as draft:
                export(draft)
    return target


@contextmanager
def replace_directory(target: Path) -> Iterator[Path]:
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
def _lock_directory(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
