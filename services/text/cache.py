"""The cache of computed vectors: a file on disk that all processes of a machine share.

Holds texts only as hashes. Loss or failure of the cache costs time and nothing else: an unreadable file is replaced, a
failed read is a miss and a failed write is dropped.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

_TABLE = """
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY,
    fingerprint INTEGER NOT NULL,
    digest BLOB NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (fingerprint, digest)
)
"""
_READ = "SELECT vector FROM vectors WHERE fingerprint = ? AND digest = ?"
_WRITE = "INSERT OR IGNORE INTO vectors (fingerprint, digest, vector) VALUES (?, ?, ?)"
_PRUNE = "DELETE FROM vectors WHERE id <= (SELECT MAX(id) FROM vectors) - ?"
_BUSY_TIMEOUT_S = 5.0
_PAUSE_S = 0.01


class VectorCache:
    """SQLite file of (encoder fingerprint, text hash) -> vector; safe across threads and processes.

    Holds the newest `max_rows` vectors (about 650 bytes each). Close it, or use it as a context manager.
    """

    def __init__(self, path: Path, max_rows: int = 1_000_000) -> None:
        self._max_rows = max_rows
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _open(path)

    def get_many(self, fingerprint: int, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """The cached vectors of these texts; texts without one are left out."""
        vectors = {}
        with self._lock, suppress(sqlite3.DatabaseError):
            for text in texts:
                row = self._connection.execute(_READ, (fingerprint, _digest(text))).fetchone()
                if row:
                    vectors[text] = np.frombuffer(row[0], dtype="<f8")
        return vectors

    def put_many(self, fingerprint: int, vectors: Mapping[str, NDArray[np.float64]]) -> None:
        """Write the vectors in one transaction; a vector that is already cached stays as it is."""
        rows = [(fingerprint, _digest(text), vector.astype("<f8").tobytes()) for text, vector in vectors.items()]
        with self._lock, suppress(sqlite3.DatabaseError), self._connection:
            self._connection.executemany(_WRITE, rows)
            self._connection.execute(_PRUNE, (self._max_rows,))

    def close(self) -> None:
        """Close the file; every later read is a miss."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "VectorCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    until_s = time.monotonic() + _BUSY_TIMEOUT_S
    while (connection := _connect_unless_busy(path, until_s)) is None:
        time.sleep(_PAUSE_S)
    return connection


def _connect_unless_busy(path: Path, until_s: float) -> sqlite3.Connection | None:
    """None while other processes open the file: SQLite does not wait for them when it switches the journal mode."""
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
            raise
        return None
    except sqlite3.DatabaseError:
        # Not a database, or a damaged one. Processes that have it open keep the unlinked file.
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
