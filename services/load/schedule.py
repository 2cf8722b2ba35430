"""When requests are due: fixed before the first is sent, whatever the server's speed.

An open loop (Schroeder, Wierman and Harchol-Balter, 2006). Knows rates and seeds; knows no clock and no server.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POISSON, CONSTANT = "poisson", "constant"
ARRIVALS = (POISSON, CONSTANT)


@dataclass(frozen=True)
class Step:
    """A period with one rate.

    Args:
        rate: requests per second.
        duration_s: seconds.
        arrivals: `poisson` (independent users) or `constant` (equal gaps).
        seed: of Poisson arrivals; equal steps with equal seeds have equal schedules.
    """

    rate: float
    duration_s: float
    arrivals: str = POISSON
    seed: int = 0

    def due_s(self) -> NDArray[np.float64]:
        """When each request is due, seconds from the beginning of the step, ascending."""
        if self.arrivals == CONSTANT:
            return np.arange(round(self.rate * self.duration_s)) / self.rate
        # Given their number, the arrivals of a Poisson process are independent and uniform.
        generator = np.random.default_rng(self.seed)
        count = generator.poisson(self.rate * self.duration_s)
        return np.sort(generator.uniform(0, self.duration_s, count))


def share_of(first: int, count: int, share: int, shares: int) -> range:
    """Positions, within the `count` requests from number `first`, of those that client `share` of `shares` sends.

    Request n of the run is client n % shares's, so that clients take turns.
    """
    return range((share - first) % shares, count, shares)
