import multiprocessing
from contextlib import closing

import numpy as np
import pytest

from services.text import VectorCache

VECTOR = np.array([0.6, -0.8, 1e-17])


@pytest.fixture
def cache(tmp_path):
    with VectorCache(tmp_path / "deep" / "vectors.sqlite") as opened:
        yield opened


def put_a_hundred(path, start):
    with VectorCache(path) as cache:
        for number in range(start, start + 100):
            cache.put_many(1, {f"text {number}": np.full(3, float(number))})


def test_returns_what_was_put(cache):
    """A vector comes back to the bit; texts never put are left out."""
    cache.put_many(5, {"milk": VECTOR})
    found = cache.get_many(5, ["milk", "oil"])
    assert list(found) == ["milk"]
    np.testing.assert_array_equal(found["milk"], VECTOR)


def test_keeps_encoders_apart(cache):
    """A vector belongs to one fingerprint, over the whole signed 64-bit range."""
    cache.put_many(-(2**63), {"milk": VECTOR})
    cache.put_many(2**63 - 1, {"milk": -VECTOR})
    assert cache.get_many(5, ["milk"]) == {}
    np.testing.assert_array_equal(cache.get_many(-(2**63), ["milk"])["milk"], VECTOR)
    np.testing.assert_array_equal(cache.get_many(2**63 - 1, ["milk"])["milk"], -VECTOR)


def test_vectors_persist_after_closing(tmp_path):
    """A reopened cache has the vectors that were written before."""
    path = tmp_path / "vectors.sqlite"
    with VectorCache(path) as cache:
        cache.put_many(5, {"milk": VECTOR})
    with VectorCache(path) as cache:
        assert list(cache.get_many(5, ["milk"])) == ["milk"]


def test_keeps_only_the_newest(tmp_path):
    """Beyond its bound the cache evicts the vectors that were put first."""
    with VectorCache(tmp_path / "vectors.sqlite", max_rows=2) as cache:
        for text in ("milk", "oil", "bread"):
            cache.put_many(5, {text: VECTOR})
        assert list(cache.get_many(5, ["milk", "oil", "bread"])) == ["oil", "bread"]


def test_replaces_a_damaged_file(tmp_path):
    """A file that is no database is replaced by an empty cache."""
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(b"no database " * 400)
    with VectorCache(path) as cache:
        cache.put_many(5, {"milk": VECTOR})
        assert list(cache.get_many(5, ["milk"])) == ["milk"]


def test_closed_cache_misses(tmp_path):
    """A closed cache has no vectors and raises no error."""
    cache = VectorCache(tmp_path / "vectors.sqlite")
    cache.put_many(5, {"milk": VECTOR})
    cache.close()
    cache.put_many(5, {"oil": VECTOR})
    assert cache.get_many(5, ["milk", "oil"]) == {}


def test_processes_share_one_file(tmp_path):
    """Several processes write at once and nothing is lost."""
    path = tmp_path / "vectors.sqlite"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=put_a_hundred, args=(path, start)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        with closing(writer):
            writer.join()
            assert writer.exitcode == 0
    with VectorCache(path) as cache:
        assert len(cache.get_many(1, [f"text {number}" for number in range(200)])) == 200
