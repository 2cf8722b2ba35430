"""The linear projection of sentence embeddings to the short vectors that rows keep.

Applies, saves and identifies a projection; `export.text_encoder` fits it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.text.protocol import unit_rows

PROJECTION_FILE = "projection.npz"


@dataclass(frozen=True)
class Projection:
    """Subtract the centre [base_dims], then take the components [dims, base_dims], which are orthonormal."""

    centre: NDArray[np.float64]
    components: NDArray[np.float64]

    def apply(self, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map [n, base_dims] to [n, dims] rows of length 1."""
        return unit_rows((embeddings - self.centre) @ self.components.T)

    def content(self) -> bytes:
        """The bytes that identify the projection, without what a file format adds."""
        return b"".join(part.astype("<f8").tobytes() for part in (self.centre, self.components))

    def save(self, directory: Path) -> None:
        """Write the projection into an encoder directory."""
        np.savez(directory / PROJECTION_FILE, centre=self.centre, components=self.components)

    @classmethod
    def load(cls, directory: Path) -> "Projection":
        """Read the projection of an encoder directory."""
        with np.load(directory / PROJECTION_FILE) as arrays:
            return cls(arrays["centre"], arrays["components"])
