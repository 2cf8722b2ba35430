"""Files as people have them: half written, of another kind than their name, twice."""

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl

CLICK = {"user_id": "u", "scenario_id": "tv", "item_id": "i", "type": "click", "time": "2026-01-01T10:00:00Z"}
LINE = json.dumps(CLICK).encode() + b"\n"

NOBODY = 65_534
"""The user without rights of Linux."""


def problems_of(directory: Path) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        load_jsonl(source=directory)
    return [str(problem) for problem in caught.value.problems] or [str(caught.value)]


def with_text(column: str, text: str) -> bytes:
    return json.dumps({**CLICK, column: "?"}).replace('"?"', text).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (with_text("text", r'"\ud83d"'), "events.jsonl:2, column text: holds half of a character"),
        (with_text("user_id", r'"a\uDC00b"'), "events.jsonl:2, column user_id: holds half of a character"),
        (with_text("context", r'{"\ud83d": 1}'), "events.jsonl:2, column context: holds half of a character"),
        (LINE.replace(b'"user_id"', rb'"\ud83d"'), r"events.jsonl:2, column \ud83d: holds half of a character"),
        (b"[" * 100_000 + b"\n", "events.jsonl:2: is nested too deeply"),
        (b'{"a": ' * 100_000 + b"\n", "events.jsonl:2: is nested too deeply"),
        (b"\x00" * 20 + b"\n", "events.jsonl:2: is not JSON: Expecting value at character 1"),
        (b'{"user_id": "a\x00"}\n', "events.jsonl:2: is not JSON: Invalid control character at character 15"),
        (LINE.replace(b'"u"', b'"caf\xe9"'), "events.jsonl:2: is not UTF-8: byte 0xe9 at position 17"),
        (LINE[:20] + b"\n", "events.jsonl:2: is not JSON: Invalid control character at character 21"),
        (b"9" * 5000 + b"\n", "events.jsonl:2: is not JSON: a number has too many digits"),
        (b"[1]\n", "events.jsonl:2: is not a JSON object"),
    ],
    ids=range(12),
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    """And the lines after it are judged, too."""
    (tmp_path / "events.jsonl").write_bytes(LINE + line + b"nothing\n")
    found = problems_of(tmp_path)
    assert found[0].startswith(problem)
    assert found[-1].startswith("events.jsonl:3: is not JSON")


def test_whole_pairs_of_surrogates_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"\xef\xbb\xbf" + with_text("user_id", r'"\ud83d\ude00"'))
    assert ["\U0001f600"] == load_jsonl(source=tmp_path).events["user_id"].to_pylist()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("events.jsonl.gz", gzip.compress(LINE * 5000)[:-20], "the gzip file ends early, after line"),
        ("events.jsonl.gz", gzip.compress(LINE)[:5], "the gzip file ends early, after line 0"),
        ("events.jsonl.gz", gzip.compress(LINE)[:-8] + b"\x00" * 8, "the gzip file is damaged after line"),
        ("events.jsonl.gz", b"\x1f\x8b\x08\x00" + b"\xff" * 100, "the gzip file is damaged after line 0"),
        ("events.jsonl.gz", LINE, "is not a gzip file; if it is plain text, name it events.jsonl"),
        ("events.jsonl", gzip.compress(LINE), "is compressed with gzip; name it events.jsonl.gz"),
        ("events.jsonl", LINE.decode().encode("utf-16"), "is UTF-16; expected JSON lines in UTF-8"),
        ("events.jsonl", LINE.decode().encode("utf-32"), "is UTF-32; expected JSON lines in UTF-8"),
        ("events.jsonl", b"PK\x03\x04", "is ZIP; expected JSON lines in UTF-8"),
        ("events.parquet", LINE, "cannot be read as Parquet: Parquet magic bytes not found"),
        ("events.parquet", b"", "cannot be read as Parquet: Parquet file size is 0 bytes"),
        ("events.jsonl.zst", b"", "files that end in .zst are not read; use .jsonl"),
    ],
    ids=range(12),
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (found,) = problems_of(tmp_path)
    assert found.startswith(f"{tmp_path / name}: {problem}")


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.parquet"])
def test_a_directory_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (found,) = problems_of(tmp_path)
    assert str(tmp_path / name) in found
    assert "directory" in found.lower()


def write_parquet(path: Path, rows: int = 200_000, **columns: Any) -> None:
    table = {name: [value] * rows for name, value in CLICK.items()}
    pq.write_table(pa.table({**table, **columns}), path, compression="none", use_dictionary=False)


def test_a_broken_page_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    """With the rows that were read before it."""
    path = tmp_path / "events.parquet"
    write_parquet(path, user_id=[f"user {number}" for number in range(200_000)])
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 400_000] = b"\xff" * 400_000
    path.write_bytes(content)
    (found,) = problems_of(tmp_path)
    assert found.startswith(f"{path}: cannot be read as Parquet")


def test_a_text_of_a_parquet_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    users = pa.array([b"a", b"caf\xe9"]).cast(pa.binary())
    write_parquet(tmp_path / "events.parquet", 2, user_id=pa.StringArray.from_buffers(2, *users.buffers()[1:]))
    assert ["events.parquet row 2, column user_id: is not UTF-8: byte 0xe9"] == problems_of(tmp_path)


def test_a_time_beyond_the_calendar_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    times = pa.array([10**15, 1_767_261_600_000], pa.int64()).cast(pa.timestamp("ms", "UTC"))
    write_parquet(tmp_path / "events.parquet", 2, time=times)
    (found,) = problems_of(tmp_path)
    assert found.startswith("events.parquet row 1, column time: cannot be read: ")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["events.jsonl", "events.jsonl.gz"], "events.jsonl and events.jsonl.gz in .* are the same part of events"),
        (["events.jsonl", "events.parquet"], "events.jsonl and events.parquet in .* are the same part"),
        (["events-0.ndjson", "events-0.jsonl", "events-1.jsonl"], "events-0.jsonl and events-0.ndjson in .* same part"),
        (["events.jsonl", "events-0.jsonl"], "events.jsonl stands beside the parts events-0.jsonl"),
        (["events-0.jsonl", "events-copy.jsonl"], "events-0.jsonl and events-copy.jsonl in .* have the same content"),
        (["items.jsonl", "items.jsonl.gz", "events.jsonl"], "are the same part of items"),
    ],
)
def test_data_that_would_count_twice_is_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    for name in names:
        content = LINE if name.startswith("events") else b'{"item_id": "i", "title": "tea"}\n'
        if name.endswith(".parquet"):
            write_parquet(tmp_path / name, 1)
        else:
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DatasetError, match=problem):
        load_jsonl(source=tmp_path)


def test_parts_of_one_size_and_other_content_are_read(tmp_path: Path) -> None:
    (tmp_path / "events-0.jsonl").write_bytes(LINE)
    (tmp_path / "events-1.jsonl").write_bytes(LINE.replace(b'"u"', b'"v"'))
    (tmp_path / "events.txt").write_text("notes")
    assert ["u", "v"] == sorted(load_jsonl(source=tmp_path).events["user_id"].to_pylist())


def test_a_file_without_the_right_to_read_it_is_named() -> None:
    """Root reads every file, and becomes another user for it; pytest's own folders are closed to others."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "events.jsonl").write_bytes(LINE)
        (folder / "events.jsonl").chmod(0)
        try:
            if is_root:
                os.seteuid(NOBODY)
            found = problems_of(folder)
        finally:
            if is_root:
                os.seteuid(0)
    assert [f"{folder / 'events.jsonl'}: cannot be read: Permission denied"] == found
