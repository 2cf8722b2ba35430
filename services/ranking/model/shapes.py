"""Into which pieces the candidates of a request are cut, and to which sizes pieces are filled up.

Pure arithmetic; knows nothing of graphs.
"""

from collections.abc import Sequence
from itertools import pairwise


def pieces(count: int, most: int) -> list[slice]:
    """Cuts of `count` rows into as few pieces of at most `most` as there must be, as even as can be."""
    parts = max(1, -(-count // most))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def bucket(count: int, buckets: Sequence[int]) -> int:
    """The smallest of the ascending `buckets` that holds `count` rows; the last one must."""
    return next(size for size in buckets if size >= count)
