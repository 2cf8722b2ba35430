"""Latencies as an HdrHistogram: any percentile of any number of requests, exact to 0.1 %, merged without loss.

Knows seconds in, milliseconds out; nothing of requests.
"""

from collections.abc import Sequence
from typing import Self

from hdrh.histogram import HdrHistogram

LONGEST_US = 3_600_000_000
"""The longest latency, an hour; longer ones count as this."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
TICKS_PER_HALVING = 5
"""Points of a curve per halving of the distance to 100 %."""


class Latencies:
    """Counts of latencies.

    Args:
        digits: significant decimal digits kept; memory is 180 kB for 3, 20 kB for 2.
    """

    def __init__(self, digits: int = 3) -> None:
        self._digits = digits
        self._counts = HdrHistogram(1, LONGEST_US, digits)

    def __getstate__(self) -> tuple[int, bytes]:
        return self._digits, self._counts.encode()

    def __setstate__(self, state: tuple[int, bytes]) -> None:
        self.__init__(state[0])  # type: ignore[misc]
        self._counts.decode_and_add(state[1])

    def __len__(self) -> int:
        return int(self._counts.get_total_count())

    def record(self, seconds: float) -> None:
        """Count one latency; one below 0, from the clock's resolution, counts as 0."""
        self._counts.record_value(min(max(round(seconds * 1e6), 0), LONGEST_US))

    def add(self, other: Self) -> None:
        """Add the latencies of `other`."""
        self._counts.add(other._counts)

    def milliseconds(self, percentiles: Sequence[float]) -> list[float]:
        """The latencies at these percentiles, ms; zeros if nothing was counted."""
        if not len(self):
            return [0.0] * len(percentiles)
        found: dict[float, int] = self._counts.get_percentile_to_value_dict(list(percentiles))
        return [found[percentile] / 1000 for percentile in percentiles]

    def max_ms(self) -> float:
        """The longest latency, ms; 0 if nothing was counted."""
        return float(self._counts.get_max_value()) / 1000

    def summary(self) -> dict[str, float]:
        """PERCENTILES and the maximum by name, ms."""
        values = self.milliseconds(list(PERCENTILES.values()))
        return {**dict(zip(PERCENTILES, values, strict=True)), "max": self.max_ms()}

    def curve(self) -> list[tuple[float, float]]:
        """(percent, ms) from the fastest request to the slowest, denser the closer to 100 %; the last is 100 %."""
        if not len(self):
            return []
        points = self._counts.get_percentile_iterator(TICKS_PER_HALVING)
        return [(point.percentile, point.value_iterated_to / 1000) for point in points]
