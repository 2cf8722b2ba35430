"""What training rows were made from: digests of data, settings and code, and what of it has changed since.

The digests stand in training_rows.json, runs and manifests. Knows files; knows nothing of what is in them.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from export.rows.reader import TrainingRowsError, read_info
from services.features.schema import build_schema
from services.settings.load import Settings
from services.settings.places import INFO_FILE
from services.text.encoder import find_fingerprint

ROOT = Path(__file__).resolve().parents[2]
CODE = ("services/features", "export/replay", "export/rows", "export/vectors")
"""Folders of the code that decides what a row holds."""


class StaleRows(TrainingRowsError):
    """Training rows are not those of today's data, settings and code; the text names the differences."""


def describe_data(directory: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """What rows, runs and manifests say of a data set, given its folder and its dataset.json."""
    return {
        "name": directory.name,
        "dataset": str(directory),
        "digest": digest_data(directory),
        "info": info.get("arguments", {}),
        "rows": info.get("rows", {}),
    }


def holds_tables(directory: Path) -> bool:
    """Whether a folder holds a data set, and not only rows of one."""
    return (directory / "events.parquet").exists()


def digest_data(directory: Path) -> str:
    """A digest of a data set's tables, erasures included."""
    total = blake2b(digest_size=8)
    for path in sorted(directory.glob("*.parquet")):
        held = path.stat()
        total.update(path.name.encode() + _digest_file(path, held.st_ino, held.st_size, held.st_mtime_ns))
    return total.hexdigest()


@cache
def _digest_file(path: Path, *_identity: int) -> bytes:
    """A digest of a file, read once for all runs of a process while inode, size and time of writing stay."""
    with path.open("rb") as file:
        return file_digest(file, "blake2b").digest()


@cache
def digest_code() -> str:
    """A digest of the code that makes rows; comments, docstrings and layout do not count."""
    total = blake2b(digest_size=8)
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        if path.name != "cli.py":
            total.update(_without_docstrings(path.read_text(encoding="utf-8")).encode())
    return total.hexdigest()


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def require_current_rows(settings: Settings, data: str) -> None:
    """Raise StaleRows, with what to do, unless a data set's rows are those of today's data, settings and code.

    Rows without their data set beside them, split anew or on a machine that only trains, are taken as they are.
    """
    directory = settings.data_dir / data
    rows = directory / "rows"
    info = read_info(rows)
    if not holds_tables(directory):
        return
    if changed := list(_changed_import(settings, directory)):
        raise StaleRows(
            f"{directory} was imported with other settings: {'; '.join(changed)}. Run `crossrec import` again"
        )
    if changed := list(find_changes(info, settings, directory)):
        raise StaleRows(
            f"{rows} are stale: {'; '.join(changed)}. Run `crossrec replay --data {data}`, or `crossrec train --replay`"
        )


def find_changes(info: Mapping[str, Any], settings: Settings, directory: Path) -> Iterator[str]:
    """What has changed since the rows that `info` (training_rows.json) describes were made."""
    if "digest" not in info["data"]:
        yield "they are of an earlier release"
        return
    if info["data"]["digest"] != digest_data(directory):
        yield "another import, or an erasure, has changed the data"
    yield from _differing("features", info["features"], json.loads(json.dumps(asdict(settings.features))), "the rows")
    encoder = find_fingerprint(settings.encoder_dir)
    if encoder != info["encoder_fingerprint"]:
        yield (
            f"the text encoder in {settings.encoder_dir} is another one"
            if encoder
            else (f"there is no text encoder in {settings.encoder_dir}")
        )
    if (info["schema_fingerprint"], info["code"]) != (build_schema(settings.features).fingerprint, digest_code()):
        yield "the code of the features is another one"


def _changed_import(settings: Settings, directory: Path) -> Iterator[str]:
    """Settings of labels, negatives and splits that are set, but differ from those of the import."""
    info = json.loads((directory / INFO_FILE).read_text(encoding="utf-8"))
    imported = info.get("arguments", {}).get("settings")
    if imported is not None:
        wanted = settings.dataset.model_dump(mode="json", include=settings.dataset.model_fields_set - {"name"})
        yield from _differing("dataset", {name: imported.get(name) for name in wanted}, wanted, "the import")


def _differing(table: str, then: Mapping[str, Any], now: Mapping[str, Any], of: str) -> Iterator[str]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield f"{table}.{name} was {then.get(name)} in {of}, is {now.get(name)}"
